import FoundationEssentials
import MessageBus
import Synchronization
import Testing

extension BusContract {
    static let endings: [BusContract] = [
        BusContract("consume and serve return when they are cancelled") { fixture in
            let bus = try await fixture.connect()
            try await bus.declare(BusTopology(queues: [.init("q"), .init("calls")]))
            let received = Received()
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await collect(bus, "q", received) }
                group.addTask {
                    try await bus.serve(queue: "calls", concurrency: 1) { $0 }
                }
                try await bus.publish("m", to: "", "q")
                _ = try await bus.call(BusMessages.envelope("q"), queue: "calls", timeout: BusMessages.timeout)
                try await eventually("it has arrived") { received.count == 1 }
                group.cancelAll()
                try await group.waitForAll()
            }
            await bus.close()
        },
        BusContract("a connection that was closed refuses everything, and closing it again is harmless") { fixture in
            let bus = try await fixture.connect()
            try await bus.declare(BusTopology(queues: [.init("q")]))
            #expect(bus.isConnected)
            await bus.close()
            await bus.close()
            #expect(!bus.isConnected)
            await expectBusError("publish", { $0 == .closed }) { try await bus.publish("m", to: "", "q") }
            await expectBusError("declare", { $0 == .closed }) { try await bus.declare(BusTopology()) }
            await expectBusError("consume", { $0 == .closed }) {
                try await bus.consume(queue: "q", prefetch: 1) { _ in .acknowledge }
            }
            await expectBusError("call", { $0 == .closed }) {
                _ = try await bus.call(BusMessages.envelope("m"), queue: "q", timeout: BusMessages.timeout)
            }
        },
        BusContract("closing ends what waits") { fixture in
            let bus = try await fixture.connect()
            try await bus.declare(BusTopology(queues: [.init("q"), .init("calls")]))
            let received = Received()
            await withTaskGroup(of: Void.self) { group in
                group.addTask {
                    await expectBusError("consume", { $0 == .closed }) { try await collect(bus, "q", received) }
                }
                group.addTask {
                    await expectBusError("call", { $0 == .closed }) {
                        _ = try await bus.call(BusMessages.envelope("m"), queue: "calls", timeout: .seconds(60))
                    }
                }
                group.addTask {
                    do {
                        try await bus.publish("m", to: "", "q")
                        try await eventually("it has arrived") { received.count == 1 }
                    } catch {
                        Issue.record(error)
                    }
                    await bus.close()
                }
            }
        },
    ]
}

/// The kinds of the requests that were served.
package final class Served: Sendable {
    private let list = Mutex<[String]>([])

    package init() {}

    package var kinds: [String] { list.withLock { $0 } }

    package func add(_ kind: String) { list.withLock { $0.append(kind) } }
}
