package import Primitives
package import Topology

/// What `cellwright-api bootstrap` reads from standard input: objects that must be there afterwards, by name.
///
/// Those that are there already are brought up to what it says; nothing else is touched. It answers with
/// ``BootstrapAnswer``.
package struct BootstrapDocument: Codable, Sendable, Equatable {
    package struct Project: Codable, Sendable, Equatable {
        package var name: String
        package var description: String
    }

    package struct User: Codable, Sendable, Equatable {
        package var name: String
        /// The user's default project, in which it gets `roles`.
        package var project: String
        package var roles: [String]
        package var password: Secret
    }

    package struct Flavor: Codable, Sendable, Equatable {
        package var name: String
        package var vcpus: Int
        package var memoryMiB: Int
        package var diskGiB: Int
    }

    package struct Network: Codable, Sendable, Equatable {
        package var name: String
        package var cidr: String
        package var gateway: String
        package var dns: [String]
        package var shared: Bool
    }

    package var projects: [Project] = []
    package var users: [User] = []
    package var flavors: [Flavor] = []
    package var networks: [Network] = []

    /// Project, user and role `admin`, without which nobody could ask the API for anything.
    package static func administrator(password: Secret) -> BootstrapDocument {
        BootstrapDocument(
            projects: [Project(name: administratorName, description: "Administrators of the cloud")],
            users: [
                User(
                    name: administratorName, project: administratorName, roles: [administratorName],
                    password: password)
            ])
    }

    package static let administratorName = "admin"

    package mutating func add(_ project: Topology.Project) {
        projects.removeAll { $0.name == project.name }
        projects.append(Project(name: project.name, description: project.description))
    }

    package mutating func add(_ user: Topology.User, password: Secret) {
        users.removeAll { $0.name == user.name }
        users.append(User(name: user.name, project: user.project, roles: user.roles, password: password))
    }

    package mutating func add(_ flavor: Topology.Flavor) {
        flavors.append(
            Flavor(
                name: flavor.name, vcpus: flavor.vcpus, memoryMiB: flavor.memoryMiB, diskGiB: flavor.diskGiB))
    }

    package mutating func add(_ network: Topology.Network) {
        networks.append(
            Network(
                name: network.name, cidr: network.cidr.description, gateway: network.gateway, dns: network.dns,
                shared: network.shared))
    }
}

/// What `cellwright-api bootstrap` prints: what it made or brought up to date, as `project demo`.
package struct BootstrapAnswer: Codable, Sendable, Equatable {
    package var changed: [String]
}
