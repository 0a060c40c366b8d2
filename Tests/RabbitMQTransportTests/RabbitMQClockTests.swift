import FoundationEssentials
import MessageBus
import Primitives
import RabbitMQTransport
import TestSupport
import Testing

/// Machines whose clocks don't agree.
@Suite(.enabled(if: PrivateRabbitMQ.isInstalled, "\(PrivateRabbitMQ.missing)"), .timeLimit(.minutes(2)))
struct RabbitMQClockTests {
    private struct WrongClock: WallClock {
        let ahead: TimeInterval
        func now() -> Date { SystemWallClock().now() + ahead }
    }

    @Test(
        "a call is answered by one whose clock is an hour ahead or behind, with as much time as was left",
        arguments: [3600.0, -3600])
    func calls(ahead: TimeInterval) async throws {
        let vhost = try await PrivateRabbitMQ.shared().createVHost()
        let client = try RabbitMQConnection(vhost.configuration())
        let server = try RabbitMQConnection(vhost.configuration(), wallClock: WrongClock(ahead: ahead))
        try await server.declare(BusTopology(queues: [.init("calls")]))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await server.serve(queue: "calls", concurrency: 1) {
                    BusMessages.envelope("answer", deadline: $0.deadline)
                }
            }
            let answer = try await client.call(BusMessages.envelope("q"), queue: "calls", timeout: .seconds(30))
            let left = try #require(answer.deadline).timeIntervalSince(WrongClock(ahead: ahead).now())
            #expect((0...30).contains(left))
            group.cancelAll()
        }
        await client.close()
        await server.close()
    }
}
