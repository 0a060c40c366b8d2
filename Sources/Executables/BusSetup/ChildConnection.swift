package import CellProtocol
package import Logging
package import MessageBus
import RabbitMQTransport

/// A parent's connection to a child's virtual host.
package enum ChildConnection {
    /// Never fails: a system that has no thread left for it gets a connection that is closed.
    package static func open(_ mapping: CellMapping, name: String, logger: Logger) -> any MessageBus {
        let configuration = RabbitMQConfiguration(
            host: mapping.bus.host, port: mapping.bus.port, vhost: mapping.bus.vhost, user: mapping.bus.user,
            password: mapping.bus.password, connectionName: name, keepsMessages: false)
        do {
            return try BusSetup.open(configuration, logger: logger)
        } catch {
            logger.error("can't open a cell's connection", metadata: ["cell": "\(mapping.path)", "error": "\(error)"])
            return ClosedBus()
        }
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
    func call(_: Envelope, queue _: String, timeout _: Duration) async throws(BusError) -> Envelope { throw .closed }
    func serve(
        queue _: String, concurrency _: Int, handler _: @escaping @Sendable (Envelope) async -> Envelope
    ) async throws(BusError) { throw .closed }
    func close() async {}
}
