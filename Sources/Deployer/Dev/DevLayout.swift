import CloudModel
import FoundationEssentials
import Topology

/// Where everything of a development cloud is: folders, ports, configuration. Follows from options and ports alone.
struct DevLayout: Sendable {
    struct Broker: Sendable, Equatable {
        var messages: Int
        var management: Int
        var distribution: Int

        init(_ finder: inout DevPorts) throws {
            messages = try finder.take()
            management = try finder.take()
            distribution = try finder.take()
        }
    }

    struct Ports: Sendable, Equatable {
        /// Of the first of them, which users are told.
        var api: Int
        var database: Int
        /// Of cells with a server of their own.
        var ownDatabases: [CellPath: Int] = [:]
        var broker: Broker
        /// Of cells with a broker of their own.
        var ownBrokers: [CellPath: Broker] = [:]
        /// The name server of all brokers.
        var epmd: Int
        /// By name of the service: where it tells how it is, which of the API is where it serves.
        var ops: [String: Int]
    }

    struct Service: Sendable {
        let name: String
        let process: ProcessLayout.Process
        let configuration: ProcessConfiguration
        let configurationPath: String
        let log: String

        var health: ProcessConfiguration.Endpoint { configuration.healthEndpoint }
    }

    /// Cost of password hashes: cheap, because these users live for a test.
    static let passwordHashCost = 10

    let folder: String
    let databaseFolder: String
    let topology: Topology
    let ports: Ports
    let processLayout: ProcessLayout
    let services: [Service]

    /// - Parameter databaseFolder: not inside `options.folder` where PostgreSQL runs as somebody who may not go there.
    init(options: DevOptions, databaseFolder: String) throws {
        folder = options.folder
        self.databaseFolder = databaseFolder
        var topology = options.topology.forDevelopment(
            hostsPerCell: options.hostsPerCell, replicas: options.replicas)
        var finder = DevPorts(first: options.firstPort)
        if let port = options.port, !DevPorts.isFree(port) {
            throw DevFailure("port \(port) of 127.0.0.1 is in use; choose another with --port, or leave it out")
        }
        var ports = Ports(
            api: try options.port ?? finder.take(), database: try finder.take(), broker: try Broker(&finder),
            epmd: try finder.take(), ops: [:])
        for cell in topology.cells where cell.isLeaf {
            if options.hasDatabasePerCell { ports.ownDatabases[cell.path] = try finder.take() }
            if options.hasBrokerPerCell { ports.ownBrokers[cell.path] = try Broker(&finder) }
        }
        topology.api.port = ports.api
        topology.root = Self.placed(topology.root, ports)
        self.topology = topology
        processLayout = ProcessLayout(topology)
        for process in processLayout.processes {
            let isFirstAPI = process.kind == .api && process.host == Topology.devMachine
            ports.ops[Self.name(of: process)] = isFirstAPI ? ports.api : try finder.take()
        }
        self.ports = ports
        let folder = folder
        services = processLayout.processes.map {
            Self.service($0, folder: folder, ports: ports, isReplicated: options.replicas > 1)
        }
    }

    var url: String { "http://127.0.0.1:\(ports.api)" }
    var secrets: String { "\(folder)/secrets" }
    var logFolder: String { "\(folder)/log" }
    var cloudsFile: String { "\(folder)/clouds.yaml" }
    /// While a file with a process's name is in here, that process is not started again.
    var holdFolder: String { "\(folder)/hold" }
    func log(_ name: String) -> String { "\(logFolder)/\(name).log" }
    func secretFile(_ name: SecretName) -> String { "\(secrets)/\(name)" }

    func services(_ kind: ProcessLayout.Kind) -> [Service] { services.filter { $0.process.kind == kind } }

    func supervisor(of cell: CellPath) -> Service? {
        services.first { $0.process.kind == .supervisor && $0.process.cell == cell }
    }

    /// Folders to make, parents first.
    var folders: [String] {
        [secrets, logFolder, holdFolder, "\(folder)/etc", "\(folder)/images", "\(folder)/compute"]
            + services(.compute).map { "\(folder)/compute/\($0.process.host)" }
    }

    private static func placed(_ cell: Topology.Cell, _ ports: Ports) -> Topology.Cell {
        var cell = cell
        cell.database = .embedded(
            .init(host: Topology.devMachine, port: ports.ownDatabases[cell.path] ?? ports.database))
        let broker = ports.ownBrokers[cell.path] ?? ports.broker
        cell.broker = .embedded(
            .init(host: Topology.devMachine, port: broker.messages, managementPort: broker.management))
        if case .children(let cells) = cell.content { cell.content = .children(cells.map { placed($0, ports) }) }
        return cell
    }

    private static func name(of process: ProcessLayout.Process) -> String {
        // Of replicas all but the first have a number.
        let number = process.host.text.dropFirst(Topology.devMachine.text.count + 1)
        let replica = number.isEmpty ? "" : "@\(number)"
        return switch process.kind {
        case .api: "api\(replica)"
        case .supervisor, .conductor: "\(process.kind.rawValue)-\(process.cell.slug)\(replica)"
        case .compute: "compute-\(process.host)"
        }
    }

    private static func service(
        _ process: ProcessLayout.Process, folder: String, ports: Ports, isReplicated: Bool
    ) -> Service {
        let name = name(of: process)
        let ops = ProcessConfiguration.Endpoint(host: "127.0.0.1", port: ports.ops[name] ?? 0)
        func local(_ path: String) -> String {
            path.replacing("\(ProcessLayout.Paths.secrets)/", with: "\(folder)/secrets/", maxReplacements: 1)
        }
        var configuration = process.configuration
        switch configuration {
        case .api(var value):
            value.database.passwordFile = local(value.database.passwordFile)
            value.bus.passwordFile = local(value.bus.passwordFile)
            value.tokenKeyFile = local(value.tokenKeyFile)
            value.imageDirectory = "\(folder)/images"
            value.listen.port = ops.port
            // Each tells its users where they found it.
            if isReplicated { value.publicURL = nil }
            value.passwordHash.cost = passwordHashCost
            configuration = .api(value)
        case .supervisor(var value):
            value.database.passwordFile = local(value.database.passwordFile)
            value.bus.passwordFile = local(value.bus.passwordFile)
            value.ops = ops
            configuration = .supervisor(value)
        case .conductor(var value):
            value.database.passwordFile = local(value.database.passwordFile)
            value.bus.passwordFile = local(value.bus.passwordFile)
            value.ops = ops
            configuration = .conductor(value)
        case .compute(var value):
            value.bus.passwordFile = local(value.bus.passwordFile)
            value.stateDirectory = "\(folder)/compute/\(process.host)"
            value.ops = ops
            configuration = .compute(value)
        }
        return Service(
            name: name, process: process, configuration: configuration,
            configurationPath: "\(folder)/etc/\(name).json", log: "\(folder)/log/\(name).log")
    }
}

/// Why a development cloud can't run, and what to do.
package struct DevFailure: Error, Sendable, Equatable, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }
}
