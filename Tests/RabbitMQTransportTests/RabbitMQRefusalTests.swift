import FoundationEssentials
import MessageBus
import Primitives
import RabbitMQTransport
import TestSupport
import Testing

@Suite(.enabled(if: PrivateRabbitMQ.isInstalled, "\(PrivateRabbitMQ.missing)"), .timeLimit(.minutes(5)))
struct RabbitMQRefusalTests {
    private let address = BusAddress(exchange: "", routingKey: "q")

    @Test func wrongPasswordIsRefusedAndNeverShown() async throws {
        let vhost = try await PrivateRabbitMQ.shared().createVHost()
        let secret = "not-the-password-4711"
        let notices = Notices()
        let bus = try RabbitMQConnection(vhost.configuration(password: Secret(secret)), onNotice: notices.add)
        try await eventually("it is refused") { !notices.texts.isEmpty }
        await expectBusError("publish", { $0.refusalCode == 403 && !"\($0)".contains(secret) }) {
            try await bus.publish(
                BusMessages.envelope("m"), to: address, mandatory: true, timeout: .seconds(1))
        }
        #expect(!bus.isConnected)
        #expect(notices.texts.allSatisfy { !$0.contains(secret) })
        #expect(!"\(vhost.configuration(password: Secret(secret)))".contains(secret))
        await bus.close()
    }

    @Test func unknownVirtualHostIsRefused() async throws {
        let vhost = try await PrivateRabbitMQ.shared().createVHost()
        var configuration = vhost.configuration()
        configuration.vhost = "missing"
        let notices = Notices()
        let bus = try RabbitMQConnection(configuration, onNotice: notices.add)
        try await eventually("it is refused") { !notices.texts.isEmpty }
        await expectBusError("call", { $0.refusalCode == 530 }) {
            _ = try await bus.call(BusMessages.envelope("m"), queue: "q", timeout: .seconds(1))
        }
        await bus.close()
    }

    @Test func nobodyAtThePortIsDisconnectedWithinTheTimeLimit() async throws {
        var configuration = try await PrivateRabbitMQ.shared().createVHost().configuration()
        configuration.port = 1
        configuration.declareTimeout = .milliseconds(300)
        let bus = try RabbitMQConnection(configuration)
        let duration = await ContinuousClock().measure {
            await expectBusError("declare", \.isDisconnected) { try await bus.declare(.cell) }
            await expectBusError("publish", \.isDisconnected) {
                try await bus.publish(
                    BusMessages.envelope("m"), to: address, mandatory: true, timeout: .milliseconds(300))
            }
        }
        #expect(duration >= .milliseconds(600) && duration < .seconds(60))
        await bus.close()
    }

    @Test func manyPublishesAtOnceOnlyFailWhereTheyAreWrong() async throws {
        let vhost = try await PrivateRabbitMQ.shared().createVHost()
        let bus = try RabbitMQConnection(vhost.configuration())
        try await bus.declare(BusTopology(queues: [.init("q")]))
        let outcomes = Served()
        await withTaskGroup(of: Void.self) { group in
            for number in 0..<1_000 {
                group.addTask {
                    do {
                        let exchange = number % 250 == 0 ? "missing" : ""
                        try await bus.publish(
                            BusMessages.envelope("m"), to: BusAddress(exchange: exchange, routingKey: "q"),
                            mandatory: true, timeout: .seconds(90))
                        outcomes.add("sent")
                    } catch {
                        outcomes.add("\((error as? BusError)?.refusalCode ?? 0)")
                    }
                }
            }
        }
        #expect(outcomes.kinds.count(where: { $0 == "sent" }) == 996)
        #expect(outcomes.kinds.count(where: { $0 == "404" }) == 4)
        await bus.close()
    }

    @Test func moreThanTheBoundIsRefusedAtOnce() async throws {
        var configuration = try await PrivateRabbitMQ.shared().createVHost().configuration()
        configuration.port = 1
        let bus = try RabbitMQConnection(configuration)
        let refused = Served()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<BusLimits.callsInFlight + 20 {
                group.addTask {
                    do {
                        _ = try await bus.call(BusMessages.envelope("m"), queue: "q", timeout: .seconds(60))
                    } catch BusError.tooManyInFlight {
                        refused.add("m")
                    } catch {
                        #expect((error as? BusError) == .cancelled)
                    }
                }
            }
            do {
                try await eventually("twenty are refused") { refused.kinds.count == 20 }
            } catch {
                Issue.record(error)
            }
            group.cancelAll()
        }
        #expect(refused.kinds.count == 20)
        // Those that were cancelled no longer count, once the connection's own thread has taken note of it.
        try await eventually("there is room again") {
            do {
                _ = try await bus.call(BusMessages.envelope("m"), queue: "q", timeout: .milliseconds(50))
                return false
            } catch let error as BusError {
                return error.isDisconnected
            }
        }
        await bus.close()
    }

    @Test func aMessageOfAnotherShapeIsDroppedWithANotice() async throws {
        let vhost = try await PrivateRabbitMQ.shared().createVHost()
        let notices = Notices()
        let bus = try RabbitMQConnection(vhost.configuration(), onNotice: notices.add)
        try await bus.declare(BusTopology(queues: [.init("q")]))
        let headers = [#"{}"#, #"{"headers":{"cw-envelope":"no json"}}"#, #"{"headers":{"cw-envelope":7}}"#]
        for properties in headers { try await vhost.publishRaw(to: "q", properties: properties) }
        try await bus.publish("good", to: "", "q")
        let received = Received()
        try await alongside({
            try await bus.consume(queue: "q", prefetch: 1) { delivery in
                received.add(delivery)
                return .acknowledge
            }
        }) {
            try await eventually("the good one has arrived") { received.count == 1 }
        }
        #expect(received.kinds == ["good"])
        #expect(notices.malformed == 3)
        await bus.close()
    }

    @Test func aReceivedBodyPastTheLimitIsDroppedWithANotice() async throws {
        let vhost = try await PrivateRabbitMQ.shared().createVHost()
        let notices = Notices()
        let bus = try RabbitMQConnection(vhost.configuration(), onNotice: notices.add)
        try await bus.declare(BusTopology(queues: [.init("q")]))
        try RawPublisher(vhost).publish(to: "q", bytes: Envelope.bodyLimitBytes + 1)
        try await bus.publish("good", to: "", "q")
        let received = Received()
        try await alongside({
            try await bus.consume(queue: "q", prefetch: 1) { delivery in
                received.add(delivery)
                return .acknowledge
            }
        }) {
            try await eventually("the good one has arrived") { received.count == 1 }
        }
        #expect(notices.malformed == 1)
        await bus.close()
    }

    @Test func aConsumerWhoseQueueWasDeletedComesBackWithIt() async throws {
        let vhost = try await PrivateRabbitMQ.shared().createVHost()
        let notices = Notices()
        let bus = try RabbitMQConnection(vhost.configuration(), onNotice: notices.add)
        try await bus.declare(BusTopology(queues: [.init("q")]))
        let received = Received()
        try await alongside({
            try await bus.consume(queue: "q", prefetch: 1) { delivery in
                received.add(delivery)
                return .acknowledge
            }
        }) {
            try await bus.publish("before", to: "", "q")
            try await eventually("the first has arrived") { received.count == 1 }
            try await vhost.broker.send(BrokerRequest(.delete, ["queues", vhost.name, "q"]))
            try await eventually("the loss is noticed") {
                notices.all.contains { if case .consumerLost = $0 { true } else { false } }
            }
            try await bus.declare(BusTopology(queues: [.init("q")]))
            try await bus.publish("after", to: "", "q")
            try await eventually("the second has arrived") { received.kinds == ["before", "after"] }
        }
        await bus.close()
    }

    @Test func replicatedQueuesCarryMessagesToo() async throws {
        var configuration = try await PrivateRabbitMQ.shared().createVHost().configuration()
        configuration.queueType = .quorum
        let bus = try RabbitMQConnection(configuration)
        try await bus.declare(BusMessages.topology(.topic, patterns: ["a"]))
        try await bus.declare(BusTopology(queues: [.init("mine", life: .exclusive)]))
        let received = Received()
        for number in 0..<20 { try await bus.publish("\(number)", to: "x", "a") }
        try await alongside({
            try await bus.consume(queue: "q", prefetch: 4) { delivery in
                received.add(delivery)
                return delivery.isRedelivered ? .acknowledge : .retry
            }
        }) {
            try await eventually("each came twice") { received.count == 40 }
        }
        #expect(Set(received.kinds).count == 20)
        await bus.close()
    }
}
