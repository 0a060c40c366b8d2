import MessageBus
import Primitives
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(2))) struct InMemoryBusTests {
    private struct Fixture: BusFixture {
        var broker = InMemoryBroker()
        func connect() async throws -> any MessageBus { broker.connect(vhost: "v") }
    }

    @Test(arguments: BusContract.all) func keeps(_ clause: BusContract) async throws {
        try await clause.check(Fixture())
    }

    @Test(arguments: BusContract.calls) func keepsWithATimekeeperToo(_ clause: BusContract) async throws {
        let timekeeper = Timekeeper()
        let fixture = Fixture(broker: InMemoryBroker(clock: timekeeper))
        try await alongside({ await timekeeper.run() }) { try await clause.check(fixture) }
    }

    @Test func virtualHostsKnowNothingOfEachOther() async throws {
        let broker = InMemoryBroker()
        let (one, two) = (broker.connect(vhost: "one"), broker.connect(vhost: "two"))
        try await one.declare(BusTopology(queues: [.init("q")]))
        try await one.publish("m", to: "", "q")
        await expectBusError("other host", \.isUnroutable) { try await two.publish("m", to: "", "q") }
        #expect(broker.depth(of: "q", vhost: "one") == 1)
        #expect(broker.depth(of: "q", vhost: "two") == nil)
    }

    @Test func unreachableBrokerEndsCallsAndHoldsPublishesBack() async throws {
        let broker = InMemoryBroker()
        let (bus, server) = (broker.connect(), broker.connect())
        try await bus.declare(BusTopology(queues: [.init("q"), .init("calls")]))
        let received = Received()
        try await alongside({
            try await server.consume(queue: "q", prefetch: 1) {
                received.add($0); return .acknowledge
            }
        }) {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    await expectBusError("call", \.isDisconnected) {
                        _ = try await bus.call(BusMessages.envelope("q"), queue: "calls", timeout: .seconds(60))
                    }
                }
                try await eventually("the call is sent") { broker.depth(of: "calls") == 1 }
                broker.setReachable(false)
                #expect(!bus.isConnected)
                try await group.waitForAll()
                await expectBusError("publish", \.isDisconnected) {
                    try await bus.publish(
                        BusMessages.envelope("lost"), to: BusAddress(exchange: "", routingKey: "q"), mandatory: true,
                        timeout: .milliseconds(20))
                }
                group.addTask { try await bus.publish("held back", to: "", "q") }
                broker.setReachable(true)
                try await group.waitForAll()
            }
            try await eventually("it has arrived") { received.kinds == ["held back"] }
        }
    }

    @Test func whatIsInHandComesAgainAfterALostConnection() async throws {
        let broker = InMemoryBroker()
        let bus = broker.connect()
        try await bus.declare(BusTopology(queues: [.init("q")]))
        try await bus.publish("m", to: "", "q")
        let received = Received()
        let gate = Gate()
        try await alongside({
            try await bus.consume(queue: "q", prefetch: 2) { delivery in
                received.add(delivery)
                if !delivery.isRedelivered { await gate.pass() }
                return .acknowledge
            }
        }) {
            try await eventually("it is in hand") { received.count == 1 }
            broker.setReachable(false)
            broker.setReachable(true)
            try await eventually("it came again") { received.count == 2 }
            gate.open()
        }
        #expect(received.deliveries.map(\.isRedelivered) == [false, true])
        #expect(broker.depth(of: "q") == 0)
    }

    @Test func timeLimitsFollowTheInjectedClock() async throws {
        let clock = ManualClock()
        let broker = InMemoryBroker(clock: clock)
        let bus = broker.connect()
        try await bus.declare(BusTopology(queues: [.init("calls")]))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                await expectBusError("call", \.isTimeOut) {
                    _ = try await bus.call(BusMessages.envelope("q"), queue: "calls", timeout: .seconds(3_600))
                }
            }
            try await eventually("it sleeps") { clock.sleepers == 1 }
            clock.advance(by: .seconds(3_600))
            try await group.waitForAll()
        }
    }

    @Test func tooManyInFlightIsSaidAtOnce() async throws {
        let broker = InMemoryBroker()
        let bus = broker.connect()
        broker.setReachable(false)
        let refused = Served()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<BusLimits.publishesInFlight + 50 {
                group.addTask {
                    do {
                        try await bus.publish(
                            BusMessages.envelope("m"), to: BusAddress(exchange: "", routingKey: "q"), mandatory: true,
                            timeout: .seconds(600))
                    } catch BusError.tooManyInFlight {
                        refused.add("m")
                    } catch BusError.cancelled {
                        // Held back until the end.
                    }
                }
            }
            try await eventually("fifty are refused") { refused.kinds.count == 50 }
            group.cancelAll()
            try await group.waitForAll()
        }
        #expect(refused.kinds.count == 50)
    }
}
