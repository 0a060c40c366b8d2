import FoundationEssentials
import MessageBus
import Synchronization
import Testing

extension BusContract {
    static let delivery: [BusContract] = [
        BusContract("at most prefetch messages are in hand at once, and that many are") { fixture in
            let bus = try await fixture.connect()
            try await bus.declare(BusTopology(queues: [.init("q")]))
            for number in 0..<12 { try await bus.publish("\(number)", to: "", "q") }
            let received = Received()
            let gate = Gate()
            try await alongside({
                try await bus.consume(queue: "q", prefetch: 4) { delivery in
                    received.add(delivery)
                    await gate.pass()
                    return .acknowledge
                }
            }) {
                try await eventually("four are in hand") { received.count == 4 }
                // One more would come at once if the bound did not hold.
                try await bus.publish("more", to: "", "q")
                #expect(received.count == 4)
                gate.open()
                try await eventually("all have arrived") { received.count == 13 }
            }
            await bus.close()
        },
        BusContract("a message that a handler wants to retry comes again and says so") { fixture in
            let bus = try await fixture.connect()
            try await bus.declare(BusTopology(queues: [.init("q")]))
            try await bus.publish("m", to: "", "q")
            let received = Received()
            try await alongside({
                try await bus.consume(queue: "q", prefetch: 1) { delivery in
                    received.add(delivery)
                    return received.count < 3 ? .retry : .acknowledge
                }
            }) {
                try await eventually("it came three times") { received.count == 3 }
            }
            #expect(received.deliveries.map(\.isRedelivered) == [false, true, true])
            #expect(Set(received.deliveries.map(\.envelope.messageID)).count == 1)
            await bus.close()
        },
        BusContract("a rejected message does not come again") { fixture in
            let bus = try await fixture.connect()
            try await bus.declare(BusTopology(queues: [.init("q")]))
            try await bus.publish("rejected", to: "", "q")
            try await bus.publish("next", to: "", "q")
            let received = Received()
            try await alongside({
                try await bus.consume(queue: "q", prefetch: 1) { delivery in
                    received.add(delivery)
                    return delivery.envelope.kind == "rejected" ? .reject : .acknowledge
                }
            }) {
                try await eventually("the next has arrived") { received.count == 2 }
            }
            let again = Received()
            try await bus.publish("last", to: "", "q")
            try await alongside({ try await collect(bus, "q", again) }) {
                try await eventually("the last has arrived") { again.count == 1 }
            }
            #expect(received.kinds == ["rejected", "next"])
            #expect(again.kinds == ["last"])
            await bus.close()
        },
        BusContract("what a cancelled consumer had in hand goes to another one") { fixture in
            let bus = try await fixture.connect()
            try await bus.declare(BusTopology(queues: [.init("q")]))
            for number in 0..<6 { try await bus.publish("\(number)", to: "", "q") }
            let first = Received()
            try await alongside({
                try await bus.consume(queue: "q", prefetch: 3) { delivery in
                    first.add(delivery)
                    await Gate().pass()
                    return .retry
                }
            }) {
                try await eventually("three are in hand") { first.count == 3 }
            }
            let second = Received()
            try await alongside({ try await collect(bus, "q", second) }) {
                try await eventually("all have arrived") { second.count == 6 }
            }
            #expect(second.kinds == (0..<6).map(String.init))
            #expect(second.deliveries.prefix(3).allSatisfy { $0.isRedelivered })
            await bus.close()
        },
        BusContract("what a consumer of a closed connection had in hand goes to another connection") { fixture in
            let (first, second) = (try await fixture.connect(), try await fixture.connect())
            try await second.declare(BusTopology(queues: [.init("q")]))
            try await second.publish("m", to: "", "q")
            let (held, received) = (Received(), Received())
            try await alongside({
                do {
                    try await first.consume(queue: "q", prefetch: 1) { delivery in
                        held.add(delivery)
                        await Gate().pass()
                        return .acknowledge
                    }
                } catch BusError.closed {
                    // As it should be.
                }
            }) {
                try await eventually("it is in hand") { held.count == 1 }
                await first.close()
                try await alongside({ try await collect(second, "q", received) }) {
                    try await eventually("it came again") { received.count == 1 }
                }
            }
            #expect(received.deliveries.first?.isRedelivered == true)
            await second.close()
        },
        BusContract("a queue keeps its newest messages up to its length limit") { fixture in
            let bus = try await fixture.connect()
            try await bus.declare(BusTopology(queues: [.init("q", lengthLimit: 3)]))
            for number in 0..<8 { try await bus.publish("\(number)", to: "", "q") }
            let received = Received()
            try await alongside({ try await collect(bus, "q", received) }) {
                try await eventually("the last has arrived") { received.kinds.last == "7" }
            }
            #expect(received.kinds == ["5", "6", "7"])
            await bus.close()
        },
        BusContract("two consumers share a queue, each message going to one of them") { fixture in
            let (first, second) = (try await fixture.connect(), try await fixture.connect())
            try await first.declare(BusTopology(queues: [.init("q")]))
            let (one, two) = (Received(), Received())
            try await alongside({ try await collect(first, "q", one) }) {
                try await alongside({ try await collect(second, "q", two) }) {
                    var sent = 0
                    try await eventually("both have had some") {
                        try await first.publish("\(sent)", to: "", "q")
                        sent += 1
                        return one.count > 0 && two.count > 0
                    }
                    try await eventually("all have arrived") { one.count + two.count == sent }
                }
            }
            #expect(Set(one.kinds).isDisjoint(with: two.kinds))
            await first.close()
            await second.close()
        },
        BusContract("an exclusive queue is its connection's alone and goes with it") { fixture in
            let (owner, other) = (try await fixture.connect(), try await fixture.connect())
            let topology = BusTopology(queues: [.init("mine", life: .exclusive)])
            try await owner.declare(topology)
            try await owner.declare(topology)
            await expectBusError("declare", { $0.refusalCode == 405 }) { try await other.declare(topology) }
            await expectBusError("consume", { $0.refusalCode == 405 }) {
                try await other.consume(queue: "mine", prefetch: 1) { _ in .acknowledge }
            }
            try await other.publish("m", to: "", "mine")
            let received = Received()
            try await alongside({ try await collect(owner, "mine", received) }) {
                try await eventually("it has arrived") { received.count == 1 }
            }
            await owner.close()
            try await eventually("the queue is gone") {
                do {
                    try await other.publish("m", to: "", "mine")
                    return false
                } catch BusError.unroutable {
                    return true
                }
            }
            await other.close()
        },
        BusContract("a body of the limit's size passes, one byte more is malformed") { fixture in
            let bus = try await fixture.connect()
            try await bus.declare(BusTopology(queues: [.init("q")]))
            var envelope = BusMessages.envelope("big")
            envelope.body = Data(repeating: UInt8(ascii: "a"), count: Envelope.bodyLimitBytes)
            let address = BusAddress(exchange: "", routingKey: "q")
            try await bus.publish(envelope, to: address, mandatory: true, timeout: .seconds(60))
            let received = Received()
            try await alongside({ try await collect(bus, "q", received) }) {
                try await eventually("it has arrived", within: .seconds(60)) { received.count == 1 }
            }
            #expect(received.deliveries.first?.envelope.body == envelope.body)
            envelope.body.append(0)
            await expectBusError("publish", \.isMalformed) { [envelope] in
                try await bus.publish(envelope, to: address, mandatory: true, timeout: .seconds(60))
            }
            await expectBusError("call", \.isMalformed) { [envelope] in
                _ = try await bus.call(envelope, queue: "q", timeout: .seconds(60))
            }
            await bus.close()
        },
        BusContract("a name that is too long is malformed") { fixture in
            let bus = try await fixture.connect()
            let long = String(repeating: "n", count: 256)
            await expectBusError("key", \.isMalformed) { try await bus.publish("m", to: "x", long) }
            await expectBusError("queue", \.isMalformed) {
                try await bus.declare(BusTopology(queues: [.init(long)]))
            }
            await bus.close()
        },
    ]
}

/// Holds tasks until it is opened or they are cancelled.
package final class Gate: Sendable {
    private struct State {
        var isOpen = false
        var waiting: [Int: CheckedContinuation<Void, Never>] = [:]
        var cancelled: Set<Int> = []
        var next = 0
    }
    private let state = Mutex(State())

    package init() {}

    package func open() {
        let waiting = state.withLock { state in
            state.isOpen = true
            defer { state.waiting = [:] }
            return state.waiting.values
        }
        for each in waiting { each.resume() }
    }

    package func pass() async {
        let number = state.withLock { state in
            state.next += 1
            return state.next
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let passes = state.withLock { state in
                    if state.isOpen || state.cancelled.contains(number) { return true }
                    state.waiting[number] = continuation
                    return false
                }
                if passes { continuation.resume() }
            }
        } onCancel: {
            let waiting = state.withLock { state in
                state.cancelled.insert(number)
                return state.waiting.removeValue(forKey: number)
            }
            waiting?.resume()
        }
    }
}
