package import Topology

/// What ``DevCloud`` runs, and where.
package struct DevOptions: Sendable {
    /// As it was read; hypervisors become simulated ones, and servers and hosts this machine, whatever it says.
    package var topology: Topology
    /// Absolute path of a folder that the cloud may make and remove.
    package var folder: String
    /// Absolute path of the folder with our executables.
    package var binaries: String
    /// Folder that files named in the topology are relative to.
    package var topologyFolder: String
    /// Compute hosts of each leaf cell, in place of the topology's.
    package var hostsPerCell: Int?
    /// How many of the API, and of each cell's supervisor and conductor.
    package var replicas = 1
    /// Whether every leaf cell has a PostgreSQL server of its own, so that one of them can be stopped or frozen.
    package var hasDatabasePerCell = false
    /// Whether every leaf cell has a RabbitMQ server of its own.
    package var hasBrokerPerCell = false
    /// Whether only the root has database and processes. The cells below have a virtual host with its users and a mapping,
    /// and whoever runs the cloud serves them.
    package var isRootOnly = false
    /// Further lines of the shared database server's configuration.
    package var databaseSettings: [String] = []
    /// Port of the API on 127.0.0.1; any free one unless given.
    package var port: Int?
    /// First port that is tried for all others.
    package var firstPort: Int
    /// The tool's environment, for programs and passwords.
    package var environment: [String: String]

    /// Below the ports that the kernel gives to outgoing connections.
    package static let defaultFirstPort = 20_000

    package init(
        topology: Topology, folder: String, binaries: String, topologyFolder: String, hostsPerCell: Int? = nil,
        port: Int? = nil, firstPort: Int = defaultFirstPort, environment: [String: String]
    ) {
        self.topology = topology
        self.folder = folder
        self.binaries = binaries
        self.topologyFolder = topologyFolder
        self.hostsPerCell = hostsPerCell
        self.port = port
        self.firstPort = firstPort
        self.environment = environment
    }
}
