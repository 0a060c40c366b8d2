package import CloudModel

extension Topology {
    /// One cell: the root, a branch or a leaf. It has children or hosts, never both.
    package struct Cell: Sendable, Equatable, Codable {
        package enum Content: Sendable, Equatable, Codable {
            case children([Cell])
            case hosts([Host])
        }

        package var path: CellPath
        /// Where its supervisors and conductors run: at least one host. Inherited from the parent unless given.
        package var controlHosts: [HostName]
        package var database: Database
        package var broker: Broker
        package var content: Content

        package init(
            path: CellPath, controlHosts: [HostName], database: Database, broker: Broker, content: Content
        ) {
            self.path = path
            self.controlHosts = controlHosts
            self.database = database
            self.broker = broker
            self.content = content
        }

        package var name: String { path.name }

        /// Cells directly below; empty for a leaf.
        package var children: [Cell] {
            switch content {
            case .children(let cells): cells
            case .hosts: []
            }
        }

        /// Every cell below, parents before children.
        package var descendants: [Cell] { children.flatMap { [$0] + $0.descendants } }

        /// Compute hosts; empty for the root and branches.
        package var hosts: [Host] {
            switch content {
            case .children: []
            case .hosts(let hosts): hosts
            }
        }

        package var kind: CellKind { path.isRoot ? .root : isLeaf ? .leaf : .branch }

        /// Whether it runs conductors and may have hosts.
        package var isLeaf: Bool {
            switch content {
            case .children: false
            case .hosts: true
            }
        }
    }

    /// Where a cell's PostgreSQL is. Every cell has a database and a role of its own there.
    package enum Database: Sendable, Equatable, Codable {
        /// Debian's server on a host of ours, installed and configured by the tool.
        case embedded(EmbeddedDatabase)
        /// A server that somebody else runs, used as its administrator.
        case existing(ExistingServer)
    }

    package struct EmbeddedDatabase: Sendable, Hashable, Codable {
        package static let defaultPort = 5432
        package var host: HostName
        package var port: Int

        package init(host: HostName, port: Int = defaultPort) {
            self.host = host
            self.port = port
        }
    }

    /// Where a cell's RabbitMQ is. Every cell has a virtual host and users of its own there.
    package enum Broker: Sendable, Equatable, Codable {
        case embedded(EmbeddedBroker)
        case existing(ExistingServer)
    }

    package struct EmbeddedBroker: Sendable, Hashable, Codable {
        package static let defaultPort = 5672
        /// Of `amqps` URLs.
        package static let defaultSecurePort = 5671
        package static let defaultManagementPort = 15672
        package var host: HostName
        package var port: Int
        package var managementPort: Int

        package init(
            host: HostName, port: Int = defaultPort, managementPort: Int = defaultManagementPort
        ) {
            self.host = host
            self.port = port
            self.managementPort = managementPort
        }
    }

}
