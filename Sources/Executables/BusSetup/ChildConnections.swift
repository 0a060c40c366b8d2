package import CellProtocol
import CloudModel
package import Logging
package import MessageBus
package import Primitives
import RabbitMQTransport
package import ServiceKit
import Synchronization

/// A parent's connections to its children's virtual hosts, and their passwords, which may change while they are open.
package final class ChildConnections: Sendable {
    private let name: String
    private let tls: TLSSettings?
    private let wallClock: any WallClock
    private let logger: Logger
    private let passwords = Mutex<[CellPath: PasswordBox]>([:])

    /// - Parameters:
    ///   - name: shows in the broker's management.
    ///   - tls: by what brokers of the cloud's own are verified, and who this process is to them.
    ///   - wallClock: by which deadlines are.
    package init(name: String, tls: TLSSettings?, wallClock: any WallClock, logger: Logger) {
        self.name = name
        self.tls = tls
        self.wallClock = wallClock
        self.logger = logger
    }

    /// Opens a child's connection. Never fails: a system that has no thread left for it gets one that is closed.
    package func open(_ mapping: CellMapping) -> any MessageBus {
        let box = PasswordBox(mapping.bus.passwords)
        passwords.withLock { $0[mapping.path] = box }
        let configuration = RabbitMQConfiguration(
            host: mapping.bus.host, port: mapping.bus.port, vhost: mapping.bus.vhost, user: mapping.bus.user,
            password: .box(box), transportSecurity: security(mapping.bus), connectionName: name, keepsMessages: false)
        do {
            return try BusSetup.open(configuration, wallClock: wallClock, logger: logger)
        } catch {
            logger.error("can't open a cell's connection", metadata: ["cell": "\(mapping.path)", "error": "\(error)"])
            return ClosedBus()
        }
    }

    private func security(_ bus: CellMapping.Endpoint) -> RabbitMQConfiguration.TransportSecurity {
        guard bus.tls == true else { return .disabled }
        return bus.authority.map { .verified(authority: $0, certificate: nil) } ?? BusSetup.security(tls)
    }

    /// Takes the passwords for the next time that the child's connection must be made again.
    package func renew(_ mapping: CellMapping) {
        passwords.withLock { $0[mapping.path] }?.values = mapping.bus.passwords
    }
}

/// A connection that could not be made: every operation says so.
private final class ClosedBus: MessageBus {
    var isConnected: Bool { false }
    func declare(_: BusTopology) async throws(BusError) { throw .closed }
    func publish(_: Envelope, to _: BusAddress, mandatory _: Bool, timeout _: Duration) async throws(BusError) {
        throw .closed
    }
    func consume(
        queue _: String, prefetch _: Int, handler _: @escaping @Sendable (BusDelivery) async -> Disposition
    ) async throws(BusError) { throw .closed }
    func call(
        _: Envelope, queue _: String, timeout _: Duration, unless _: NextRing?
    ) async throws(BusError) -> Envelope { throw .closed }
    func serve(
        queue _: String, concurrency _: Int, handler _: @escaping @Sendable (Envelope) async -> Envelope?
    ) async throws(BusError) { throw .closed }
    func close() async {}
}
