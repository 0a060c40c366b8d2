import CellProtocol
import CloudModel
import Deployer
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

/// All cells of a laboratory below its root, in this process.
struct LabCells: Sendable {
    /// Cells whose databases are made and filled at once. The server makes one after the other.
    static let parallel = 4

    struct Leaf: Sendable {
        let path: CellPath
        let store: PostgresCellStore
        let hosts: [SimulatedHosts.Host]
        let guests: [HostName: [ServerID]]
        /// What carries the leaf's messages when no real broker does.
        let broker: InMemoryBroker
    }

    private let shape: LabShape
    private let servers: LabServers
    let leaves: [Leaf]
    private let branches: [PostgresBranchStore]
    private let logger: Logger
    /// Wakes leaves, branches and calls between them; hosts at their steps have the system's clock.
    let timekeeper = Timekeeper()

    /// Makes the cells' databases, with the servers that are there from the beginning and the branches' mappings.
    init(
        _ shape: LabShape, _ servers: LabServers, _ seeder: InstanceSeeder, logger: Logger,
        made: @escaping @Sendable () -> Void
    ) async throws {
        self.shape = shape
        self.servers = servers
        self.logger = logger
        let databases = try await LeafDatabases(shape, servers)
        leaves = try await parallelMap(Array(shape.tree.leaves.enumerated()), limit: Self.parallel) {
            [timekeeper] number, path in
            let pool = try await databases.make(for: path, number)
            let store = PostgresCellStore(pool: pool, cell: path)
            let hosts = (1...shape.hostsPerCell).map {
                SimulatedHosts.Host(name: HostName("\(path.name)-h\($0)"), provider: SystemIDSource().next())
            }
            let guests = try await seeder.seed(cell: number, hosts: hosts.map(\.name), into: store)
            made()
            return Leaf(
                path: path, store: store, hosts: hosts, guests: guests,
                broker: InMemoryBroker(clock: timekeeper))
        }
        if !shape.tree.branches.isEmpty { try await servers.makeTemplate(.branch) }
        branches = try await parallelMap(shape.tree.branches, limit: Self.parallel) { path in
            let pool = try await servers.makeDatabase(of: path, .branch, sessions: LabShape.sessionsPerBranch)
            let store = PostgresBranchStore(pool: pool, cell: path)
            for leaf in shape.tree.leaves(below: path) {
                let endpoint = try shape.isBrokerReal ? servers.endpoint(of: leaf) : Self.nowhere(leaf)
                _ = try await store.putCell(leaf, bus: endpoint, now: SystemWallClock().now())
            }
            made()
            return store
        }
    }

    /// Of a leaf whose messages are in this process.
    private static func nowhere(_ leaf: CellPath) -> CellMapping.Endpoint {
        CellMapping.Endpoint(host: "-", port: 1, vhost: leaf.description, user: "parent", password: Secret("-"))
    }

    // MARK: What runs

    func makeBranches() throws -> [SimulatedBranch] {
        let brokers = Dictionary(uniqueKeysWithValues: leaves.map { ($0.path, $0.broker) })
        return try branches.map { store in
            let connect = opener { (mapping: CellMapping) in
                try shape.isBrokerReal
                    ? servers.connect(to: mapping, as: "supervisor@\(store.cell)")
                    : brokers[mapping.path]?.connect() ?? InMemoryBroker().connect()
            }
            return SimulatedBranch(
                cell: store.cell, store: store, bus: try servers.connect(store.cell, as: "supervisor"),
                connect: connect, pace: shape.pace, clock: timekeeper, wallClock: SystemWallClock(),
                ids: SystemIDSource(), version: ProcessShell.version, logger: logger)
        }
    }

    func makeLeaves() throws -> [SimulatedLeaf] {
        try leaves.map { leaf in
            let isOutsideReal = shape.isBrokerReal || leaf.path.parent?.isRoot == true
            let inside = opener { (name: String) in
                try shape.isBrokerReal ? servers.connect(leaf.path, as: name) : leaf.broker.connect()
            }
            return SimulatedLeaf(
                cell: leaf.path, hosts: leaf.hosts, guests: leaf.guests, store: leaf.store,
                outside: try isOutsideReal ? servers.connect(leaf.path, as: "supervisor") : leaf.broker.connect(),
                inside: { inside("inside") }, pace: shape.pace, clock: timekeeper, hostClock: ContinuousClock(),
                wallClock: SystemWallClock(), ids: SystemIDSource(), version: ProcessShell.version, logger: logger)
        }
    }

    /// A connection that can't be made is told of, and reaches nobody.
    private func opener<Input>(
        _ open: @escaping @Sendable (Input) throws -> any MessageBus
    ) -> @Sendable (Input) -> any MessageBus {
        let logger = logger
        return { input in
            do {
                return try open(input)
            } catch {
                logger.error("no connection", metadata: ["error": "\(error)"])
                return InMemoryBroker().connect()
            }
        }
    }

    /// What the databases' own upkeep does within minutes in a cloud; here it is switched off, so that it is not measured.
    func analyze() async throws {
        _ = try await parallelMap(leaves.map(\.store.pool), limit: Self.parallel) { pool in
            try await LabServers.analyze(["cell.instances", "cell.hosts", "outbox.events"], in: pool)
        }
        _ = try await parallelMap(branches.map(\.pool), limit: Self.parallel) { pool in
            try await LabServers.analyze(["directory.instances", "directory.hosts", "outbox.events"], in: pool)
        }
    }

    func close() async {
        await withDiscardingTaskGroup { group in
            for pool in leaves.map(\.store.pool) + branches.map(\.pool) {
                group.addTask { await pool.close(grace: .zero) }
            }
        }
    }
}

/// Where leaves keep what they have: each in a database of its own, or many beside each other in one.
private struct LeafDatabases: Sendable {
    private let shape: LabShape
    private let servers: LabServers
    /// Of the database that all leaves share; empty when they don't.
    private let shared: [PostgresPool]

    init(_ shape: LabShape, _ servers: LabServers) async throws {
        self.shape = shape
        self.servers = servers
        switch shape.leafDatabases {
        case .own:
            shared = []
            try await servers.makeTemplate(.leaf)
        case .shared(let sessions):
            let leaves = (shape.tree.leaves.count + sessions - 1) / sessions
            shared = try await servers.makeSharedDatabase(leavesOfASession: leaves, sessions: sessions)
        }
    }

    func make(for leaf: CellPath, _ number: Int) async throws -> PostgresPool {
        switch shape.leafDatabases {
        case .own(let sessions): try await servers.makeDatabase(of: leaf, .leaf, sessions: sessions)
        case .shared: try await servers.makeSchemas(of: leaf, in: shared[number % shared.count])
        }
    }
}
