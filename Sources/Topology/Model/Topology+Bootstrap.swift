extension Topology {
    /// Objects that the cloud has from the start. Project, user and role `admin` exist whether listed or not.
    package struct Bootstrap: Sendable, Equatable, Codable {
        package var projects: [Project]
        package var users: [User]
        package var flavors: [Flavor]
        package var images: [Image]
        package var networks: [Network]

        package init(
            projects: [Project] = [], users: [User] = [], flavors: [Flavor] = [], images: [Image] = [],
            networks: [Network] = []
        ) {
            self.projects = projects
            self.users = users
            self.flavors = flavors
            self.images = images
            self.networks = networks
        }
    }

    package struct Project: Sendable, Equatable, Codable {
        package var name: String
        package var description: String
        package var quota: Quota

        package init(name: String, description: String = "", quota: Quota = Quota()) {
            self.name = name
            self.description = description
            self.quota = quota
        }
    }

    /// Limits of a project; -1 is none, `nil` leaves what the project has.
    package struct Quota: Sendable, Equatable, Codable {
        package var instances: Int?
        package var vcpus: Int?
        package var memoryMiB: Int?
        package var keyPairs: Int?
        package var networks: Int?
        package var ports: Int?

        package init(
            instances: Int? = nil, vcpus: Int? = nil, memoryMiB: Int? = nil, keyPairs: Int? = nil,
            networks: Int? = nil, ports: Int? = nil
        ) {
            self.instances = instances
            self.vcpus = vcpus
            self.memoryMiB = memoryMiB
            self.keyPairs = keyPairs
            self.networks = networks
            self.ports = ports
        }

        package var isEmpty: Bool { self == Quota() }
    }

    package struct User: Sendable, Equatable, Codable {
        /// In falling order of what they may do; `service` stands apart.
        package static let roles = ["admin", "manager", "member", "reader", "service"]

        package var name: String
        /// The project it belongs to and has its roles in.
        package var project: String
        package var roles: [String]
        package var password: PasswordSource

        package init(name: String, project: String, roles: [String], password: PasswordSource = .generated) {
            self.name = name
            self.project = project
            self.roles = roles
            self.password = password
        }
    }

    package struct Flavor: Sendable, Equatable, Codable {
        package var name: String
        package var vcpus: Int
        package var memoryMiB: Int
        package var diskGiB: Int

        package init(name: String, vcpus: Int, memoryMiB: Int, diskGiB: Int) {
            self.name = name
            self.vcpus = vcpus
            self.memoryMiB = memoryMiB
            self.diskGiB = diskGiB
        }
    }

    package struct Image: Sendable, Equatable, Codable {
        package enum DiskFormat: String, Sendable, Codable, CaseIterable { case raw, qcow2 }

        package var name: String
        /// Path of the image file, relative to the topology file.
        package var file: String
        package var diskFormat: DiskFormat

        package init(name: String, file: String, diskFormat: DiskFormat) {
            self.name = name
            self.file = file
            self.diskFormat = diskFormat
        }
    }

    package struct Network: Sendable, Equatable, Codable {
        package var name: String
        package var cidr: IPv4Network
        /// The first address of the network unless given.
        package var gateway: String
        package var dns: [String]
        /// Whether every project may use it.
        package var shared: Bool

        package init(name: String, cidr: IPv4Network, gateway: String, dns: [String] = [], shared: Bool = false) {
            self.name = name
            self.cidr = cidr
            self.gateway = gateway
            self.dns = dns
            self.shared = shared
        }
    }
}
