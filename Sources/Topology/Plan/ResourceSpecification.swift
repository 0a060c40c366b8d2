package import CloudModel

/// How a ``Resource`` is made: what the apply engine needs and a plan does not compare.
package enum ResourceSpecification: Sendable, Equatable {
    /// Debian packages that must be installed.
    case packages([String])
    /// A system account without a login.
    case account(name: String, home: String)
    case directory(Directory)
    case file(File)
    /// A systemd unit, enabled and running.
    case unit(Unit)
    case databaseRole(DatabaseServer, name: String, password: SecretName)
    case database(DatabaseServer, name: String, owner: String)
    case brokerVhost(BrokerServer, name: String)
    /// The tool's own administrator of an embedded broker; takes the place of the broker's `guest`.
    case brokerAdministrator(BrokerServer, password: SecretName)
    case brokerUser(BrokerServer, ProcessLayout.BrokerUser)
    case brokerPermissions(BrokerServer, vhost: String, ProcessLayout.BrokerUser)
    /// The cell's schema brought up by `cellwright-supervisor migrate` on `host`. `migratedBy` is the digest of that
    /// executable; it is left as a comment on the database, where the next look finds it.
    case schema(
        host: HostName, configurationPath: String, database: DatabaseServer, name: String, migratedBy: String)
    /// A service process must answer `/healthz`.
    case gate(host: HostName, ProcessConfiguration.Endpoint)
    /// The child's entry in its parent's directory, put by `cellwright-supervisor cell put` on `host`.
    case cellMapping(CellMapping)
    /// The queue of a compute host, declared by `cellwright-supervisor host put` on `host`.
    case hostQueue(host: HostName, configurationPath: String, computeHost: HostName)
    case project(Topology.Project)
    case user(Topology.User)
    case flavor(Topology.Flavor)
    case network(Topology.Network)
    case image(Topology.Image)

    /// The account's name on every embedded broker.
    package static let brokerAdministratorName = "cellwright"

    package struct Directory: Sendable, Equatable {
        package var path: String
        package var mode: String
        package var owner: String

        package init(path: String, mode: String, owner: String) {
            self.path = path
            self.mode = mode
            self.owner = owner
        }
    }

    package struct File: Sendable, Equatable {
        package enum Content: Sendable, Equatable {
            case text(String)
            /// The value of a secret, followed by a line feed.
            case secret(SecretName)
            /// One of our executables, by name.
            case binary(String)
        }

        package var path: String
        /// Four octal digits.
        package var mode: String
        /// User and group in one: `cellwright`, `root`.
        package var owner: String
        package var content: Content

        package init(path: String, mode: String, owner: String, content: Content) {
            self.path = path
            self.mode = mode
            self.owner = owner
            self.content = content
        }
    }

    package struct Unit: Sendable, Equatable {
        package var name: String
        /// Digest of everything it runs with (binary, configuration, secrets, unit file); a running process shows the one
        /// it was started with in its environment as ``Unit/inputsVariable``. `nil` for Debian's units.
        package var inputs: String?
        package static let inputsVariable = "CELLWRIGHT_INPUTS"

        package init(name: String, inputs: String?) {
            self.name = name
            self.inputs = inputs
        }
    }

    /// A PostgreSQL server and how to be its administrator.
    package enum DatabaseServer: Sendable, Hashable {
        /// On our host, as the account `postgres` over the local socket.
        case embedded(Topology.EmbeddedDatabase)
        /// Somewhere else, over the network, as whoever its URL names.
        case existing(Topology.ExistingServer)

        /// The host of ours that it is on.
        package var host: HostName? {
            switch self {
            case .embedded(let server): server.host
            case .existing: nil
            }
        }

        /// Where resources on it are said to be: its host, or `address:port`, which no host is called.
        package var place: HostName {
            switch self {
            case .embedded(let server): server.host
            case .existing(let server): server.endpoint(defaultPort: Topology.EmbeddedDatabase.defaultPort).place
            }
        }
    }

    /// A RabbitMQ server and how to be its administrator.
    package enum BrokerServer: Sendable, Hashable {
        /// On our host, over the management API with the password ``SecretName/brokerAdministrator(_:)``.
        case embedded(Topology.EmbeddedBroker)
        /// Somewhere else, over its management API, as whoever its URL names.
        case existing(Topology.ExistingServer)

        /// The host of ours that it is on.
        package var host: HostName? {
            switch self {
            case .embedded(let server): server.host
            case .existing: nil
            }
        }

        /// As of a ``DatabaseServer``.
        package var place: HostName {
            switch self {
            case .embedded(let server): server.host
            case .existing(let server): server.brokerEndpoint.place
            }
        }
    }

    package struct CellMapping: Sendable, Equatable {
        /// The parent's control host, and the configuration of its supervisor there.
        package var host: HostName
        package var parentConfigurationPath: String
        package var child: CellPath
        /// How the parent reaches the child's vhost; `passwordFile` is empty: the password goes over standard input.
        package var bus: ProcessConfiguration.Bus
        /// The file by which the parent verifies an existing broker; `nil` for one of the cloud's own.
        package var authority: String?
        package var password: SecretName

        package init(
            host: HostName, parentConfigurationPath: String, child: CellPath, bus: ProcessConfiguration.Bus,
            authority: String?, password: SecretName
        ) {
            self.host = host
            self.parentConfigurationPath = parentConfigurationPath
            self.child = child
            self.bus = bus
            self.authority = authority
            self.password = password
        }
    }
}

extension ProcessConfiguration.Endpoint {
    fileprivate var place: HostName { HostName("\(host):\(port)") }
}
