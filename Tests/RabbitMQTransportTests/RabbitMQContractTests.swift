import MessageBus
import RabbitMQTransport
import TestSupport
import Testing

@Suite(.enabled(if: PrivateRabbitMQ.isInstalled, "\(PrivateRabbitMQ.missing)"), .timeLimit(.minutes(5)))
struct RabbitMQContractTests {
    private struct Fixture: BusFixture {
        let vhost: PrivateRabbitMQ.VHost

        func connect() async throws -> any MessageBus {
            try RabbitMQConnection(vhost.configuration(heartbeat: .seconds(20)))
        }
    }

    @Test(arguments: BusContract.all) func keeps(_ clause: BusContract) async throws {
        try await clause.check(Fixture(vhost: try await PrivateRabbitMQ.shared().createVHost()))
    }
}
