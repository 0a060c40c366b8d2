import FoundationEssentials
import Glibc
import MessageBus
import Primitives
import RabbitMQTransport
import Synchronization
import TestSupport
import Testing

private final class Slowest: Sendable {
    private let slowest = Mutex(Duration.zero)
    var value: Duration { slowest.withLock { $0 } }
    func add(_ duration: Duration) { slowest.withLock { $0 = max($0, duration) } }
}

/// A broker of its own that is ended, killed and frozen.
@Suite(.enabled(if: PrivateRabbitMQ.isInstalled, "\(PrivateRabbitMQ.missing)"), .serialized, .timeLimit(.minutes(5)))
struct RabbitMQOutageTests {
    private static let broker = OneBroker()

    /// The broker that the tests of this suite disturb one after the other.
    private actor OneBroker {
        private var broker: PrivateRabbitMQ?

        func get() async throws -> PrivateRabbitMQ {
            if let broker { return broker }
            let started = try await PrivateRabbitMQ.start()
            broker = started
            return started
        }
    }

    private let address = BusAddress(exchange: "x", routingKey: "a")

    private func connect(
        _ vhost: PrivateRabbitMQ.VHost, _ notices: Notices, heartbeat: Duration = .seconds(5)
    ) throws -> RabbitMQConnection {
        try RabbitMQConnection(vhost.configuration(heartbeat: heartbeat), onNotice: notices.add)
    }

    /// Messages flow all the while: some are under way when the broker goes, some wait for it to come back.
    @Test(arguments: [SIGTERM, SIGKILL])
    func whatIsSentDuringARestartArrives(signal: Int32) async throws {
        let broker = try await Self.broker.get()
        let vhost = try await broker.createVHost()
        let (notices, senderNotices) = (Notices(), Notices())
        // The end of a process is noticed at once; a broker that is only slow must not count as lost.
        let receiver = try connect(vhost, notices, heartbeat: .seconds(20))
        let sender = try connect(vhost, senderNotices, heartbeat: .seconds(20))
        try await receiver.declare(BusMessages.topology(.topic, patterns: ["a"]))
        try await receiver.declare(
            BusTopology(queues: [.init("calls"), .init("unserved"), .init("mine", life: .exclusive)]))
        let received = Received()
        try await alongside({ try await consumeAll(receiver, received) }) {
            try await alongside({ try await receiver.serve(queue: "calls", concurrency: 8) { $0 } }) {
                try await sendThroughARestart(of: vhost, signal, sender, received)
                let answer = try await sender.call(
                    BusMessages.envelope("after"), queue: "calls", timeout: .seconds(90))
                #expect(answer.kind == "after")
                try await eventually("the exclusive queue is back") {
                    do {
                        try await sender.publish("m", to: "", "mine")
                        return true
                    } catch BusError.unroutable {
                        return false
                    }
                }
            }
        }
        #expect(senderNotices.losses == 1 && notices.losses == 1)
        #expect(senderNotices.connections == 2 && notices.connections == 2)
        await sender.close()
        await receiver.close()
    }

    private func sendThroughARestart(
        of vhost: PrivateRabbitMQ.VHost, _ signal: Int32, _ sender: RabbitMQConnection, _ received: Received
    ) async throws {
        let broker = vhost.broker
        let total = 400
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                for number in 0..<total {
                    try await sender.publish(
                        BusMessages.envelope("\(number)"), to: address, mandatory: true, timeout: .seconds(240))
                    if number > 100 { try await Task.sleep(for: .milliseconds(1)) }
                }
            }
            group.addTask {
                await expectBusError("a call under way", \.isDisconnected) {
                    _ = try await sender.call(
                        BusMessages.envelope("q"), queue: "unserved", timeout: .seconds(120))
                }
            }
            try await eventually("messages flow") { received.count > 100 }
            try await broker.stop(with: signal)
            try await eventually("the loss is noticed") { !sender.isConnected }
            var patient = vhost.configuration()
            patient.declareTimeout = .seconds(240)
            let late = try RabbitMQConnection(patient)
            group.addTask { try await late.declare(BusTopology(queues: [.init("late")])) }
            try await broker.restart()
            try await group.waitForAll()
            try await late.publish("m", to: "", "late")
            await late.close()
        }
        try await eventually("all have arrived", within: .seconds(60)) { Set(received.kinds).count == total }
    }

    /// Longer than two heartbeats, with messages on their way: the library's own wait has no limit then.
    @Test func aFrozenBrokerMakesNothingHang() async throws {
        let broker = try await Self.broker.get()
        let vhost = try await broker.createVHost()
        let notices = Notices()
        let heartbeat = Duration.seconds(2)
        let bus = try connect(vhost, notices, heartbeat: heartbeat)
        try await bus.declare(BusMessages.topology(.topic, patterns: ["a"]))
        try await bus.declare(BusTopology(queues: [.init("mine", life: .exclusive)]))
        try await bus.publish("before", to: "x", "a")
        try await broker.freeze()
        let clock = ContinuousClock()
        let frozen = clock.now
        do {
            let slowest = Slowest()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for lane in 0..<8 {
                    group.addTask {
                        while clock.now - frozen < heartbeat * 4 {
                            let timeout = Duration.milliseconds(200 + 50 * lane)
                            var envelope = BusMessages.envelope("frozen")
                            envelope.body = Data(repeating: 32, count: lane == 0 ? 1_000_000 : 500)
                            let duration = await clock.measure {
                                await expectBusError("publish", { $0.isTimeOut || $0.isDisconnected }) {
                                    try await bus.publish(
                                        envelope, to: address, mandatory: true, timeout: timeout)
                                }
                            }
                            slowest.add(duration - timeout)
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(slowest.value < .seconds(30))
            #expect(notices.losses >= 1)
            #expect(!bus.isConnected)
        } catch {
            try broker.thaw()
            throw error
        }
        try broker.thaw()
        try await bus.publish("after", to: "x", "a")
        #expect(bus.isConnected)
        // The broker may still hold the lost connection's queue for a moment.
        try await eventually("the exclusive queue is back") {
            do {
                try await bus.publish("m", to: "", "mine")
                return true
            } catch BusError.unroutable {
                return false
            }
        }
        await bus.close()
    }

    /// The socket's buffer fills up, so that the owning thread waits inside the library until the watchdog's cut.
    @Test func aFrozenBrokerThatIsSentTooMuchIsCutOff() async throws {
        let broker = try await Self.broker.get()
        let vhost = try await broker.createVHost()
        let notices = Notices()
        let bus = try connect(vhost, notices, heartbeat: .seconds(1))
        try await bus.declare(BusMessages.topology(.topic, patterns: ["a"]))
        try await broker.freeze()
        var large = BusMessages.envelope("large")
        large.body = Data(repeating: 32, count: Envelope.bodyLimitBytes)
        let duration = await ContinuousClock().measure {
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<3 {
                    group.addTask { [large] in
                        await expectBusError("publish", { $0.isTimeOut || $0.isDisconnected }) {
                            try await bus.publish(large, to: address, mandatory: true, timeout: .seconds(1))
                        }
                    }
                }
            }
        }
        #expect(duration < .seconds(30))
        do {
            try await eventually("the connection is given up", within: .seconds(60)) { notices.losses >= 1 }
        } catch {
            Issue.record(error)
        }
        try broker.thaw()
        try await bus.publish("after", to: "x", "a")
        await bus.close()
    }

    @Test func aShortFreezeIsSurvived() async throws {
        let broker = try await Self.broker.get()
        let notices = Notices()
        let bus = try connect(try await broker.createVHost(), notices, heartbeat: .seconds(5))
        try await bus.declare(BusMessages.topology(.topic, patterns: ["a"]))
        try await broker.freeze()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await bus.publish("m", to: "x", "a") }
            try await Task.sleep(for: .seconds(2))
            try broker.thaw()
            try await group.waitForAll()
        }
        #expect(notices.losses == 0)
        await bus.close()
    }

    @Test func aBrokerShortOfMemoryIsWaitedFor() async throws {
        let broker = try await Self.broker.get()
        let notices = Notices()
        let bus = try connect(try await broker.createVHost(), notices, heartbeat: .seconds(5))
        try await bus.declare(BusMessages.topology(.topic, patterns: ["a"]))
        try await broker.control(["set_vm_memory_high_watermark", "absolute", "1"])
        try await eventually("the broker says so") {
            do {
                try await bus.publish(
                    BusMessages.envelope("m"), to: address, mandatory: true, timeout: .milliseconds(100))
            } catch BusError.timedOut {
                // It takes no messages now.
            }
            return notices.all.contains { if case .blocked = $0 { true } else { false } }
        }
        await expectBusError("publish", \.isTimeOut) {
            try await bus.publish(
                BusMessages.envelope("m"), to: address, mandatory: true, timeout: .milliseconds(100))
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await bus.publish(
                    BusMessages.envelope("held back"), to: address, mandatory: true, timeout: .seconds(60))
            }
            try await broker.control(["set_vm_memory_high_watermark", "absolute", "1GB"])
            try await group.waitForAll()
        }
        #expect(notices.all.contains(.unblocked))
        #expect(notices.losses == 0)
        await bus.close()
    }

    @Test func closingWhileTheBrokerIsFrozenTakesSecondsAtMost() async throws {
        let broker = try await Self.broker.get()
        let bus = try connect(try await broker.createVHost(), Notices())
        try await bus.declare(BusMessages.topology(.topic, patterns: ["a"]))
        try await broker.freeze()
        let duration = await ContinuousClock().measure { await bus.close() }
        try broker.thaw()
        #expect(duration < .seconds(60))
    }

    private func consumeAll(_ bus: RabbitMQConnection, _ received: Received) async throws {
        try await bus.consume(queue: "q", prefetch: 16) { delivery in
            received.add(delivery)
            return .acknowledge
        }
    }
}
