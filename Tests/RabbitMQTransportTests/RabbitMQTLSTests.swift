import FoundationEssentials
import MessageBus
import Primitives
import RabbitMQTransport
import Synchronization
import TestSupport
import Testing

/// The same contract over TLS, and what is refused there.
@Suite(.enabled(if: PrivateRabbitMQ.isInstalled, "\(PrivateRabbitMQ.missing)"), .timeLimit(.minutes(5)))
struct RabbitMQTLSTests {
    private struct Fixture: BusFixture {
        let vhost: PrivateRabbitMQ.VHost

        func connect() async throws -> any MessageBus {
            try RabbitMQConnection(try vhost.secureConfiguration(heartbeat: .seconds(20)))
        }
    }

    @Test(arguments: BusContract.all) func keeps(_ clause: BusContract) async throws {
        try await clause.check(Fixture(vhost: try await PrivateRabbitMQ.shared().createVHost()))
    }

    @Test func anotherAuthoritysBrokerIsRefused() async throws {
        var configuration = try await secure()
        let stranger = try TestAuthority()
        configuration.transportSecurity = .verified(
            authority: stranger.path, certificate: try TestAuthority.shared().file("client"))
        try await expectRefusal(configuration, saying: ["certificate", "SSL", "peer"])
        withExtendedLifetime(stranger) {}
    }

    @Test func aBrokerOfAnotherNameIsRefused() async throws {
        var configuration = try await secure()
        configuration.host = "localhost"
        try await expectRefusal(configuration, saying: ["hostname"])
    }

    @Test func aBrokerAtAnotherAddressIsRefused() async throws {
        var configuration = try await secure()
        let listener = try await TLSListener(
            certificate: try TestAuthority.shared().file("elsewhere", addresses: ["127.0.0.2"]))
        configuration.port = listener.port
        try await expectRefusal(configuration, saying: ["certificate", "SSL", "peer"])
        try await listener.close()
    }

    @Test func anExpiredCertificateIsRefused() async throws {
        let authority = try TestAuthority.shared()
        let listener = try await TLSListener(
            certificate: try authority.file("expired", addresses: TestAuthority.serverAddresses, days: 1, age: 3))
        var configuration = try await secure()
        configuration.port = listener.port
        try await expectRefusal(configuration, saying: ["certificate", "SSL", "peer"])
        try await listener.close()
    }

    @Test func aClientWithoutACertificateIsRefused() async throws {
        var configuration = try await secure()
        configuration.transportSecurity = .verified(authority: try TestAuthority.shared().path, certificate: nil)
        try await expectRefusal(configuration, saying: [])
    }

    @Test func aPlainClientIsRefusedAtTheSecurePort() async throws {
        var configuration = try await secure()
        configuration.transportSecurity = .disabled
        try await expectRefusal(configuration, saying: [])
    }

    @Test func aMissingFileIsNamed() async throws {
        var configuration = try await secure()
        configuration.transportSecurity = .verified(authority: "/nonexistent/authority.pem", certificate: nil)
        try await expectRefusal(configuration, saying: ["/nonexistent/authority.pem"])
    }

    private func secure() async throws -> RabbitMQConfiguration {
        try await PrivateRabbitMQ.shared().createVHost().secureConfiguration()
    }

    /// - Parameter words: of which the notice has at least one.
    private func expectRefusal(_ configuration: RabbitMQConfiguration, saying words: [String]) async throws {
        let notices = Notices()
        let bus = try RabbitMQConnection(configuration, onNotice: notices.add)
        try await eventually("an attempt has failed") { !notices.texts.isEmpty }
        #expect(notices.connections == 0)
        #expect(!bus.isConnected)
        if !words.isEmpty {
            #expect(notices.texts.allSatisfy { text in words.contains { text.contains($0) } }, "\(notices.texts)")
        }
        await bus.close()
    }
}

/// Passwords that change while connections live.
@Suite(.enabled(if: PrivateRabbitMQ.isInstalled, "\(PrivateRabbitMQ.missing)"), .timeLimit(.minutes(5)))
struct RabbitMQPasswordTests {
    @Test func whoIsRefusedWithTheFirstPasswordTriesTheSecond() async throws {
        let vhost = try await PrivateRabbitMQ.shared().createVHost()
        var configuration = vhost.configuration()
        configuration.password = .box(PasswordBox([Secret("not valid any more"), vhost.password]))
        let bus = try RabbitMQConnection(configuration)
        try await bus.declare(BusTopology(queues: [.init("q")]))
        #expect(bus.isConnected)
        await bus.close()
    }

    @Test func aNewPasswordInTheFileIsFoundByTheNextConnection() async throws {
        let vhost = try await PrivateRabbitMQ.shared().createVHost()
        let path = "/tmp/test-password-\(SystemIDSource().uuid().uuidString)"
        try Data("old\n".utf8).write(to: URL(filePath: path))
        defer { do { try FileManager.default.removeItem(atPath: path) } catch { Issue.record(error) } }
        var configuration = vhost.configuration()
        configuration.password = .file(path)
        let notices = Notices()
        let bus = try RabbitMQConnection(configuration, onNotice: notices.add)
        try await eventually("the old one is refused") { !notices.texts.isEmpty }
        try Data("old\n\(vhost.password.reveal())\n".utf8).write(to: URL(filePath: path))
        try await eventually("the new one is taken") { bus.isConnected }
        await bus.close()
    }
}
