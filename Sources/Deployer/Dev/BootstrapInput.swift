package import Primitives
package import Topology

/// What `cellwright-api bootstrap` reads from standard input. Holds passwords: it is never written anywhere else.
package struct BootstrapInput: Encodable, Sendable {
    package struct Project: Encodable, Sendable {
        var name: String
        var description: String
    }

    package struct User: Encodable, Sendable {
        var name: String
        var password: Secret
        var project: String
        var roles: [String]
    }

    package struct Flavor: Encodable, Sendable {
        var name: String
        var vcpus: Int
        var memoryMiB: Int
        var diskGiB: Int
    }

    package struct Network: Encodable, Sendable {
        var name: String
        var cidr: String
        var gateway: String
        var dns: [String]
        var shared: Bool
    }

    package var projects: [Project]
    package var users: [User]
    package var flavors: [Flavor]
    package var networks: [Network]

    /// Everything that `topology` lists, and project and user `admin`.
    package init(_ topology: Topology, password: (Topology.User) throws -> Secret) throws {
        let bootstrap = topology.bootstrap
        let administrator = Self.administrator(in: topology)
        projects = bootstrap.projects.map { Project(name: $0.name, description: $0.description) }
        if !bootstrap.projects.contains(where: { $0.name == administrator.project }) {
            projects.insert(Project(name: administrator.project, description: "For administrators"), at: 0)
        }
        let others = bootstrap.users.filter { $0.name != administrator.name }
        users = try ([administrator] + others).map {
            User(name: $0.name, password: try password($0), project: $0.project, roles: $0.roles)
        }
        flavors = bootstrap.flavors.map {
            Flavor(name: $0.name, vcpus: $0.vcpus, memoryMiB: $0.memoryMiB, diskGiB: $0.diskGiB)
        }
        networks = bootstrap.networks.map {
            Network(name: $0.name, cidr: $0.cidr.description, gateway: $0.gateway, dns: $0.dns, shared: $0.shared)
        }
    }

    /// User `admin`: the listed one, else the one that always exists.
    package static func administrator(in topology: Topology) -> Topology.User {
        topology.bootstrap.users.first { $0.name == "admin" }
            ?? Topology.User(name: "admin", project: "admin", roles: ["admin"])
    }

    /// Whom the cloud `cellwright` of clouds.yaml is for: the first user that is no administrator.
    package static func firstUser(in topology: Topology) -> Topology.User {
        topology.bootstrap.users.first { !$0.roles.contains("admin") } ?? administrator(in: topology)
    }
}

/// What `cellwright-supervisor cell put` reads from standard input.
package struct CellMappingInput: Encodable, Sendable {
    package struct Bus: Encodable, Sendable {
        package var host: String
        package var port: Int
        package var vhost: String
        package var user: String
        package var password: Secret

        package init(host: String, port: Int, vhost: String, user: String, password: Secret) {
            self.host = host
            self.port = port
            self.vhost = vhost
            self.user = user
            self.password = password
        }
    }

    package var path: String
    package var name: String
    package var bus: Bus

    package init(path: String, name: String, bus: Bus) {
        self.path = path
        self.name = name
        self.bus = bus
    }
}
