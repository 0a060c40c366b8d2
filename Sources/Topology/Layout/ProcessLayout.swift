package import CloudModel
package import MessageBus

/// Which processes a topology means, where each runs and with what configuration. Pure; follows from the topology alone.
package struct ProcessLayout: Sendable, Equatable {
    package enum Kind: String, Sendable, CaseIterable, Codable {
        case supervisor, api, conductor, compute

        /// Name of the executable.
        package var binary: String { "cellwright-\(rawValue)" }
    }

    /// One service process.
    package struct Process: Sendable, Equatable {
        package var kind: Kind
        package var host: HostName
        package var cell: CellPath
        /// systemd's name of it, with `.service`.
        package var unit: String
        /// Account it runs under.
        package var account: String
        package var configurationPath: String
        package var configuration: ProcessConfiguration
        /// Secrets it reads, and the file of each.
        package var secrets: [SecretFile]
        /// What it shows to servers and, the API, to clients; `nil` without TLS.
        package var certificate: Certificate?
        /// Certificates by which it verifies servers that somebody else runs.
        package var authorities: [AuthorityFile]
        /// Of an agent: where images are besides its settings' place, read anew for every image; `nil` with one API.
        package var imageReplicas: TextFile?

        package var binary: String { kind.binary }
        /// Its own name of the executable: processes of one host share the file while they run the same version, and
        /// each can be moved to another without the others.
        package var binaryPath: String { ProcessLayout.binaryPath(configurationPath: configurationPath) }
    }

    package struct SecretFile: Sendable, Hashable {
        package var name: SecretName
        package var path: String
    }

    /// A file that is not secret.
    package struct TextFile: Sendable, Hashable {
        package var path: String
        package var text: String
    }

    /// Certificates of the authority of an existing server, for those who connect to it.
    package struct AuthorityFile: Sendable, Hashable {
        package var path: String
        /// The topology's `caFile`.
        package var source: String
    }

    /// A certificate with its key, both in one file, so that they always fit each other.
    package struct Certificate: Sendable, Hashable {
        package var name: SecretName
        package var host: HostName
        package var path: String
        /// The account that reads it.
        package var owner: String
        /// Who the bearer is to a server: the name of its database role, else its own.
        package var commonName: String
        /// DNS names and IP addresses under which the bearer is reached.
        package var addresses: [String]

        package init(
            name: SecretName, host: HostName, path: String, owner: String, commonName: String, addresses: [String]
        ) {
            self.name = name
            self.host = host
            self.path = path
            self.owner = owner
            self.commonName = commonName
            self.addresses = addresses
        }
    }

    /// A user of a cell's virtual host.
    package struct BrokerUser: Sendable, Hashable {
        package enum Role: String, Sendable, Codable, CaseIterable { case supervisor, conductor, host, parent, api }

        package var name: String
        package var role: Role
        /// The cell whose virtual host it may use.
        package var cell: CellPath
        /// The compute host, for `Role.host`.
        package var host: HostName?

        package var secret: SecretName { .broker(user: name) }

        /// What the broker must show of it, besides name and password.
        package var permissionAttributes: [String: String] {
            let topics = permissions.topics.map { "\($0.exchange) \($0.write) \($0.read)" }
            return [
                "configure": permissions.configure, "write": permissions.write, "read": permissions.read,
                "topics": topics.sorted().joined(separator: "\n"),
            ]
        }

        package var permissions: CellPermissions {
            switch role {
            case .supervisor, .conductor, .api: .controlPlane
            case .parent: .parent
            case .host: .host(host?.text ?? "")
            }
        }
    }

    /// Where things are on a host.
    package enum Paths {
        package static let configuration = "/etc/cellwright"
        package static let secrets = "/etc/cellwright/secrets"
        package static let certificates = "/etc/cellwright/tls"
        package static let authority = "/etc/cellwright/tls/authority.pem"
        /// What a host's own system trusts: Debian's package ca-certificates.
        package static let systemAuthorities = "/etc/ssl/certs/ca-certificates.crt"
        package static let state = "/var/lib/cellwright"
        /// Beside the settings of agents.
        package static let imageReplicas = "/etc/cellwright/image-replicas"
        package static let images = "/var/lib/cellwright/images"
        package static let computeState = "/var/lib/cellwright/compute"
        /// Where Debian packages of ours put executables; the tool only reads there.
        package static let packaged = "/usr/lib/cellwright/bin"
        /// Executables by process.
        package static let executables = "/usr/lib/cellwright/process"
        /// What processes ran with before an upgrade that has not ended; on the same file system as ``executables``.
        package static let previous = "/usr/lib/cellwright/previous"
        package static let units = "/etc/systemd/system"
    }

    /// The executable of the process that a configuration file is of: `.../supervisor-north.json` is read by
    /// `.../cellwright-supervisor-north`.
    package static func binaryPath(configurationPath path: String) -> String {
        let name = path.split(separator: "/").last ?? ""
        return "\(Paths.executables)/cellwright-\(name.prefix { $0 != "." })"
    }

    package static let serviceAccount = "cellwright"
    package static let computeAccount = "root"
    /// bcrypt cost of users' passwords in a deployed cloud.
    package static let passwordHashCost = 14

    /// In order of starting: a parent's supervisor before its children's, the API after the root's supervisor, agents last.
    package let processes: [Process]
    package let brokerUsers: [BrokerUser]
    /// Certificates of the PostgreSQL and RabbitMQ servers on our hosts; none without TLS.
    package let databaseCertificates: [HostName: Certificate]
    package let brokerCertificates: [HostName: Certificate]
    /// Passwords of the tool's own accounts and of the users that the topology does not give one for.
    private let administrators: [SecretName]

    /// Lays out `topology`, whose hosts must have their addresses (``Topology/withLabAddresses(existing:)``).
    package init(_ topology: Topology) {
        let builder = ProcessLayoutBuilder(topology: topology)
        processes = builder.processes()
        brokerUsers = builder.brokerUsers()
        administrators = builder.administrators()
        databaseCertificates = builder.serverCertificates(of: .database)
        brokerCertificates = builder.serverCertificates(of: .broker)
    }

    package func processes(on host: HostName) -> [Process] { processes.filter { $0.host == host } }

    /// Every certificate that must be there before anything is applied, sorted by name; none without TLS.
    package var certificates: [Certificate] {
        (processes.compactMap(\.certificate) + databaseCertificates.values + brokerCertificates.values)
            .sorted { $0.name < $1.name }
    }

    /// Every secret that must have a value before anything is applied, sorted.
    package var secrets: [SecretName] {
        Set(processes.flatMap { $0.secrets.map(\.name) } + brokerUsers.map(\.secret) + administrators).sorted()
    }
}
