import CloudModel

/// The configuration file of a service process: the contract between this tool and the services.
///
/// Secrets are never in it; it names their files.
package enum ProcessConfiguration: Sendable, Equatable {
    case api(API)
    case supervisor(Supervisor)
    case conductor(Conductor)
    case compute(Compute)

    package struct Endpoint: Sendable, Hashable, Codable {
        package var host: String
        package var port: Int
        /// Answers over TLS, with a certificate of this authority (a path on the host). Plainly when absent.
        package var authority: String?

        package init(host: String, port: Int, authority: String? = nil) {
            self.host = host
            self.port = port
            self.authority = authority
        }
    }

    /// How a connection is protected: by what the other side is verified, and who this process is to it.
    package struct TLS: Sendable, Equatable, Codable {
        /// Certificates of the authority.
        package var authority: String
        /// This process's certificate with its key, read anew for every connection; `nil` where it shows none.
        package var certificate: String?

        package init(authority: String, certificate: String? = nil) {
            self.authority = authority
            self.certificate = certificate
        }
    }

    package struct Database: Sendable, Equatable, Codable {
        package var host: String
        package var port: Int
        package var name: String
        package var user: String
        package var passwordFile: String
        package var tls: TLS?

        package init(host: String, port: Int, name: String, user: String, passwordFile: String, tls: TLS? = nil) {
            self.host = host
            self.port = port
            self.name = name
            self.user = user
            self.passwordFile = passwordFile
            self.tls = tls
        }
    }

    package struct Bus: Sendable, Equatable, Codable {
        package var host: String
        package var port: Int
        package var vhost: String
        package var user: String
        package var passwordFile: String
        package var tls: TLS?

        package init(host: String, port: Int, vhost: String, user: String, passwordFile: String, tls: TLS? = nil) {
            self.host = host
            self.port = port
            self.vhost = vhost
            self.user = user
            self.passwordFile = passwordFile
            self.tls = tls
        }
    }

    package struct Cell: Sendable, Equatable, Codable {
        package var path: String
        package var name: String
        /// `branch` for a cell with cells below it; absent for the root and for leaves.
        package var kind: String?

        package init(_ cell: Topology.Cell) {
            path = cell.path.description
            name = cell.name
            kind = cell.kind == .branch ? CellKind.branch.rawValue : nil
        }
    }

    package struct PasswordHash: Sendable, Equatable, Codable {
        /// bcrypt's: work doubles with each step.
        package var cost: Int

        package init(cost: Int) { self.cost = cost }
    }

    package struct API: Sendable, Equatable, Codable {
        package var listen: Endpoint
        /// Serves HTTPS with this; plain HTTP when absent.
        package var tls: TLS?
        package var publicURL: String?
        package var region: String
        package var database: Database
        package var bus: Bus
        package var tokenKeyFile: String
        package var imageDirectory: String
        package var passwordHash: PasswordHash

        package init(
            listen: Endpoint, tls: TLS? = nil, publicURL: String?, region: String, database: Database, bus: Bus,
            tokenKeyFile: String,
            imageDirectory: String, passwordHash: PasswordHash
        ) {
            self.listen = listen
            self.tls = tls
            self.publicURL = publicURL
            self.region = region
            self.database = database
            self.bus = bus
            self.tokenKeyFile = tokenKeyFile
            self.imageDirectory = imageDirectory
            self.passwordHash = passwordHash
        }
    }

    package struct Supervisor: Sendable, Equatable, Codable {
        package var cell: Cell
        /// Its host: distinct from every other supervisor of the cell, and the same after a restart.
        package var identity: String
        package var database: Database
        package var bus: Bus
        /// By what brokers of the cloud's own are verified, its children's for instance, and who it is to them.
        package var tls: TLS?
        package var ops: Endpoint

        package init(
            cell: Cell, identity: String, database: Database, bus: Bus, tls: TLS? = nil, ops: Endpoint
        ) {
            self.cell = cell
            self.identity = identity
            self.database = database
            self.bus = bus
            self.tls = tls
            self.ops = ops
        }
    }

    package struct Conductor: Sendable, Equatable, Codable {
        package var cell: Cell
        /// `<host>-1`: stable over restarts, distinct from every other conductor of the cell.
        package var identity: String
        package var database: Database
        package var bus: Bus
        package var ops: Endpoint

        package init(cell: Cell, identity: String, database: Database, bus: Bus, ops: Endpoint) {
            self.cell = cell
            self.identity = identity
            self.database = database
            self.bus = bus
            self.ops = ops
        }
    }

    package struct Hypervisor: Sendable, Equatable, Codable {
        package var driver: String
        package var uri: String?
        package var virtType: String

        package init(driver: String, uri: String?, virtType: String) {
            self.driver = driver
            self.uri = uri
            self.virtType = virtType
        }
    }

    package struct Compute: Sendable, Equatable, Codable {
        package var host: String
        /// Path of the cell, `/north`.
        package var cell: String
        package var bus: Bus
        package var hypervisor: Hypervisor
        package var imageURL: String
        /// By what the image service is verified; `nil` for the system's own authorities.
        package var imageAuthority: String?
        package var stateDirectory: String
        package var ops: Endpoint
        package var capacity: Topology.Capacity?
        package var availabilityZone: String

        package init(
            host: String, cell: String, bus: Bus, hypervisor: Hypervisor, imageURL: String,
            imageAuthority: String? = nil, stateDirectory: String,
            ops: Endpoint, capacity: Topology.Capacity?, availabilityZone: String
        ) {
            self.host = host
            self.cell = cell
            self.bus = bus
            self.hypervisor = hypervisor
            self.imageURL = imageURL
            self.imageAuthority = imageAuthority
            self.stateDirectory = stateDirectory
            self.ops = ops
            self.capacity = capacity
            self.availabilityZone = availabilityZone
        }
    }

    /// Files by which it verifies its database and its broker.
    package var authorities: [String] {
        switch self {
        case .api(let value): [value.database.tls, value.bus.tls].compactMap { $0?.authority }
        case .supervisor(let value): [value.database.tls, value.bus.tls].compactMap { $0?.authority }
        case .conductor(let value): [value.database.tls, value.bus.tls].compactMap { $0?.authority }
        case .compute(let value): [value.bus.tls].compactMap { $0?.authority }
        }
    }

    /// Where the process answers `/healthz` on its own host.
    package var healthEndpoint: Endpoint {
        switch self {
        case .api(let value):
            Endpoint(
                host: value.listen.host == "0.0.0.0" ? "127.0.0.1" : value.listen.host, port: value.listen.port,
                authority: value.tls?.authority)
        case .supervisor(let value): value.ops
        case .conductor(let value): value.ops
        case .compute(let value): value.ops
        }
    }
}
