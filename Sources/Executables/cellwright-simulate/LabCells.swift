import CellProtocol
import CloudModel
import FoundationEssentials
import Logging
import MessageBus
import Persistence
import PostgresClient
import Primitives
import ServerLifecycle
import ServiceKit
import Simulation
import Synchronization

/// All leaves of a laboratory, in this process.
struct LabCells: Sendable {
    /// Leaves that are made, filled or started at once.
    static let parallel = 4

    struct Leaf: Sendable {
        let path: CellPath
        let pool: PostgresPool
        let store: PostgresCellStore
        let hosts: [SimulatedHosts.Host]
        var guests: [HostName: [ServerID]] = [:]
    }

    let shape: LabShape
    let servers: LabServers
    private(set) var leaves: [Leaf] = []
    let logger: Logger

    /// Makes the leaves' databases.
    init(_ shape: LabShape, _ servers: LabServers, logger: Logger) async throws {
        self.shape = shape
        self.servers = servers
        self.logger = logger
        try await servers.makeTemplate()
        let paths = (1...shape.cells).compactMap { CellPath.root.child("c\($0)") }
        leaves = try await Self.each(paths) { path in
            let pool = try await servers.makeDatabase(of: path, sessions: shape.sessionsPerCell)
            let hosts = (1...shape.hostsPerCell).map {
                SimulatedHosts.Host(name: HostName("\(path.name)-h\($0)"), provider: SystemIDSource().next())
            }
            return Leaf(path: path, pool: pool, store: PostgresCellStore(pool: pool, cell: path), hosts: hosts)
        }
    }

    /// Writes the servers that are there from the beginning.
    mutating func seed(_ seeder: InstanceSeeder) async throws {
        leaves = try await Self.each(Array(leaves.enumerated())) { number, leaf in
            var leaf = leaf
            leaf.guests = try await seeder.seed(cell: number, hosts: leaf.hosts.map(\.name), into: leaf.store)
            return leaf
        }
    }

    /// What runs of each leaf.
    func makeServices() throws -> [SimulatedLeaf] {
        try leaves.map { leaf in
            SimulatedLeaf(
                cell: leaf.path, hosts: leaf.hosts, guests: leaf.guests, store: leaf.store,
                outside: try servers.connect(leaf.path, as: "supervisor"), inside: inside(leaf.path),
                pace: shape.pace, clock: ContinuousClock(), wallClock: SystemWallClock(), ids: SystemIDSource(),
                version: ProcessShell.version, logger: logger)
        }
    }

    /// Of the conductor and the hosts.
    private func inside(_ path: CellPath) -> @Sendable () -> any MessageBus {
        guard shape.isBrokerReal else {
            let broker = InMemoryBroker()
            return { broker.connect() }
        }
        let servers = servers
        let logger = logger
        return {
            do {
                return try servers.connect(path, as: "inside")
            } catch {
                logger.error("no connection", metadata: ["cell": "\(path)", "error": "\(error)"])
                return InMemoryBroker().connect()
            }
        }
    }

    func close() async {
        await withDiscardingTaskGroup { group in
            for leaf in leaves { group.addTask { await leaf.pool.close(grace: .zero) } }
        }
    }

    /// In the same order, ``parallel`` at once.
    private static func each<Input: Sendable, Output: Sendable>(
        _ inputs: [Input], _ body: @escaping @Sendable (Input) async throws -> Output
    ) async throws -> [Output] {
        try await withThrowingTaskGroup(of: (Int, Output).self) { group in
            var outputs: [(Int, Output)] = []
            for (index, input) in inputs.enumerated() {
                if index >= parallel, let done = try await group.next() { outputs.append(done) }
                group.addTask { (index, try await body(input)) }
            }
            for try await done in group { outputs.append(done) }
            return outputs.sorted { $0.0 < $1.0 }.map(\.1)
        }
    }
}
