import FoundationEssentials
import MessageBus
import Primitives
import Testing

extension BusContract {
    package static let calls: [BusContract] = [
        BusContract("a call gets the answer of whoever serves the queue") { fixture in
            let (client, server) = (try await fixture.connect(), try await fixture.connect())
            try await server.declare(BusTopology(queues: [.init("calls")]))
            try await alongside({ try await echo(server, concurrency: 4) }) {
                let request = BusMessages.envelope("question", body: #"{"n":1}"#)
                let answer = try await client.call(request, queue: "calls", timeout: BusMessages.timeout)
                #expect(answer.kind == "answer")
                #expect(answer.body == request.body)
                #expect(answer.idempotencyKey == request.idempotencyKey)
                #expect(answer.requestID == request.requestID)
                #expect(answer.caller == request.caller)
            }
            await client.close()
            await server.close()
        },
        BusContract("a thousand concurrent calls each get their own answer") { fixture in
            let (client, server) = (try await fixture.connect(), try await fixture.connect())
            try await server.declare(BusTopology(queues: [.init("calls")]))
            try await alongside({ try await echo(server, concurrency: 64) }) {
                try await withThrowingTaskGroup(of: Bool.self) { group in
                    for number in 0..<1_000 {
                        group.addTask {
                            let request = BusMessages.envelope("question", body: "\(number)")
                            let answer = try await client.call(request, queue: "calls", timeout: .seconds(60))
                            return answer.body == request.body
                        }
                    }
                    var right = 0
                    for try await isRight in group where isRight { right += 1 }
                    #expect(right == 1_000)
                }
            }
            await client.close()
            await server.close()
        },
        BusContract("a call carries a deadline, and keeps an earlier one that it had") { fixture in
            let bus = try await fixture.connect()
            try await bus.declare(BusTopology(queues: [.init("calls")]))
            let before = Date()
            try await alongside({
                try await bus.serve(queue: "calls", concurrency: 1) { request in
                    BusMessages.envelope("answer", deadline: request.deadline)
                }
            }) {
                let made = try await bus.call(
                    BusMessages.envelope("q"), queue: "calls", timeout: .seconds(30)
                ).deadline
                let limit = try #require(made)
                #expect(limit > before.addingTimeInterval(29) && limit < Date().addingTimeInterval(30.1))
                let earlier = Date(timeIntervalSince1970: (before.timeIntervalSince1970 + 20).rounded())
                let kept = try await bus.call(
                    BusMessages.envelope("q", deadline: earlier), queue: "calls", timeout: .seconds(300)
                ).deadline
                // By the other side's clock: what the call has taken comes to it.
                let shift = try #require(kept).timeIntervalSince(earlier)
                #expect((0..<200).contains(shift) || abs(shift) < 0.01)
            }
            await bus.close()
        },
        BusContract("a call that one has no answer for goes to another, and one that is cut short too") { fixture in
            let (client, silent, server) = (
                try await fixture.connect(), try await fixture.connect(), try await fixture.connect()
            )
            try await server.declare(BusTopology(queues: [.init("calls")]))
            try await alongside({ try await silent.serve(queue: "calls", concurrency: 4) { _ in nil } }) {
                try await alongside({ try await echo(server, concurrency: 4) }) {
                    for number in 0..<10 {
                        let request = BusMessages.envelope("question", body: "\(number)")
                        let answer = try await client.call(request, queue: "calls", timeout: BusMessages.timeout)
                        #expect(answer.body == request.body)
                    }
                }
            }
            // One that ends while it has a call in hand.
            let (begun, begin) = AsyncStream.makeStream(of: Void.self)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    let answer = try await client.call(
                        BusMessages.envelope("question", body: "last"), queue: "calls", timeout: BusMessages.timeout)
                    #expect(answer.kind == "answer")
                }
                group.addTask {
                    try await alongside({
                        try await silent.serve(queue: "calls", concurrency: 1) { request in
                            begin.yield()
                            do {
                                try await ContinuousClock().sleep(for: .seconds(60))
                            } catch {
                                return nil  // cancelled
                            }
                            return request
                        }
                    }) {
                        for await _ in begun { break }
                    }
                    try await echo(server, concurrency: 1)
                }
                try await group.next()
                group.cancelAll()
            }
            for bus in [client, silent, server] { await bus.close() }
        },
        BusContract("a call to a queue that is missing is unroutable") { fixture in
            let bus = try await fixture.connect()
            await expectBusError("call", \.isUnroutable) {
                _ = try await bus.call(BusMessages.envelope("q"), queue: "missing", timeout: BusMessages.timeout)
            }
            await bus.close()
        },
        BusContract("a call ends when its alarm rings, and at once when that has rung") { fixture in
            let (client, server) = (try await fixture.connect(), try await fixture.connect())
            try await server.declare(BusTopology(queues: [.init("calls")]))
            let alarm = Alarm()
            let ring = alarm.next
            let gate = Gate()
            try await alongside({
                try await server.serve(queue: "calls", concurrency: 4) { request in
                    alarm.ring()
                    await gate.pass()
                    return BusMessages.envelope("answer")
                }
            }) {
                let clock = ContinuousClock()
                let duration = await clock.measure {
                    for _ in 1...2 {
                        await expectBusError("call", { $0 == .calledOff }) {
                            _ = try await client.call(
                                BusMessages.envelope("q"), queue: "calls", timeout: .seconds(60), unless: ring)
                        }
                    }
                }
                #expect(duration < .seconds(60))
                gate.open()
                let answer = try await client.call(
                    BusMessages.envelope("q"), queue: "calls", timeout: BusMessages.timeout, unless: Alarm().next)
                #expect(answer.kind == "answer")
            }
            await client.close()
            await server.close()
        },
        BusContract("a call that nobody answers ends within its timeout, and is not served later") { fixture in
            let bus = try await fixture.connect()
            try await bus.declare(BusTopology(queues: [.init("calls"), .init("other")]))
            let clock = ContinuousClock()
            let duration = await clock.measure {
                await expectBusError("call", \.isTimeOut) {
                    _ = try await bus.call(
                        BusMessages.envelope("late"), queue: "calls", timeout: .milliseconds(100))
                }
            }
            #expect(duration >= .milliseconds(100))
            // The broker has taken it before this, and counts from then on.
            try await bus.publish("after it", to: "", "other")
            try await clock.sleep(for: .milliseconds(200))
            let served = Served()
            try await alongside({
                try await bus.serve(queue: "calls", concurrency: 1) { request in
                    served.add(request.kind)
                    return BusMessages.envelope("answer")
                }
            }) {
                _ = try await bus.call(BusMessages.envelope("in time"), queue: "calls", timeout: BusMessages.timeout)
            }
            #expect(served.kinds == ["in time"])
            await bus.close()
        },
        BusContract("a cancelled call ends at once") { fixture in
            let bus = try await fixture.connect()
            try await bus.declare(BusTopology(queues: [.init("calls")]))
            let clock = ContinuousClock()
            let duration = await clock.measure {
                await withTaskGroup(of: Void.self) { group in
                    group.addTask {
                        await expectBusError("call", { $0 == .cancelled }) {
                            _ = try await bus.call(BusMessages.envelope("q"), queue: "calls", timeout: .seconds(60))
                        }
                    }
                    group.cancelAll()
                }
            }
            #expect(duration < .seconds(60))
            await bus.close()
        },
        BusContract("at most concurrency calls are served at once") { fixture in
            let bus = try await fixture.connect()
            try await bus.declare(BusTopology(queues: [.init("calls")]))
            let served = Served()
            let gate = Gate()
            try await alongside({
                try await bus.serve(queue: "calls", concurrency: 3) { request in
                    served.add(request.kind)
                    await gate.pass()
                    return BusMessages.envelope("answer")
                }
            }) {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<10 {
                        group.addTask {
                            _ = try await bus.call(
                                BusMessages.envelope("q"), queue: "calls", timeout: BusMessages.timeout)
                        }
                    }
                    try await eventually("three are served") { served.kinds.count == 3 }
                    try await bus.publish("barrier", to: "", "calls")
                    #expect(served.kinds.count == 3)
                    gate.open()
                    try await group.waitForAll()
                }
            }
            await bus.close()
        },
        BusContract("a connection may call a queue that it serves itself") { fixture in
            let bus = try await fixture.connect()
            try await bus.declare(BusTopology(queues: [.init("calls")]))
            try await alongside({ try await echo(bus, concurrency: 1) }) {
                let answer = try await bus.call(
                    BusMessages.envelope("q"), queue: "calls", timeout: BusMessages.timeout)
                #expect(answer.kind == "answer")
            }
            await bus.close()
        },
    ]

    private static func echo(_ bus: any MessageBus, concurrency: Int) async throws {
        try await bus.serve(queue: "calls", concurrency: concurrency) { request in
            var answer = request
            answer.kind = "answer"
            return answer
        }
    }
}
