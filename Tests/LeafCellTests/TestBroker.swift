import CloudModel
import MessageBus
import Primitives
import RabbitMQTransport
import Synchronization
import TestSupport

/// The cell's broker, and everyone's own way into it.
final class TestBroker: Sendable {
    enum Role: Sendable {
        case control, parent
        case host(HostName)
    }

    static let hosts: [HostName] = ["host-1", "host-2"]

    private enum Kind: Sendable {
        case memory(InMemoryBroker)
        case rabbit(PrivateRabbitMQ.VHost)
    }

    private let kind: Kind
    private let open = Mutex<[any MessageBus]>([])

    private init(_ kind: Kind) { self.kind = kind }

    static func inMemory() -> TestBroker { TestBroker(.memory(InMemoryBroker())) }

    /// A virtual host of its own on a real broker, with the users and permissions that a cell has.
    static func rabbit() async throws -> TestBroker {
        let vhost = try await PrivateRabbitMQ.shared().createVHost()
        try await vhost.addUser("parent", .parent)
        for host in hosts { try await vhost.addUser(CellPermissions.hostUser(host.text), .host(host.text)) }
        return TestBroker(.rabbit(vhost))
    }

    func connect(_ role: Role) throws -> any MessageBus {
        let bus: any MessageBus
        switch kind {
        case .memory(let broker): bus = broker.connect()
        case .rabbit(let vhost):
            let user: String? =
                switch role {
                case .control: nil
                case .parent: "parent"
                case .host(let name): CellPermissions.hostUser(name.text)
                }
            bus = try RabbitMQConnection(vhost.configuration(user: user))
        }
        open.withLock { $0.append(bus) }
        return bus
    }

    /// Only in memory: a broker that can't be reached for a while.
    func setReachable(_ isReachable: Bool) {
        if case .memory(let broker) = kind { broker.setReachable(isReachable) }
    }

    func close() async {
        for bus in open.withLock({ $0 }) { await bus.close() }
    }
}
