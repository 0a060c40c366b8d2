import CellProtocol
import CloudModel
import FoundationEssentials
import Logging
import MessageBus
import Persistence
import PostgresClient
import Primitives
import ServerLifecycle
import Simulation
import TestSupport
import Testing

/// A branch of a laboratory over three leaves with two hosts each, and three hundred servers from the beginning.
@Suite(.timeLimit(.minutes(3)), .enabled(if: PrivatePostgres.isInstalled, "needs PostgreSQL"))
struct SimulatedTreeTests {
    private static let tree = LabTree(cells: 3, branches: 1)
    private static let servers = 300
    private static let hosts = 2

    private struct Lab {
        let branch: PostgresBranchStore
        let leaves: [SimulatedLeaf]
    }

    @Test("a branch learns of the hosts and servers of its leaves, and of one's death")
    func branch() async throws {
        try await Self.with { lab in
            let leaves = Self.tree.leaves
            try await eventually("the branch knows every server") {
                try await lab.branch.inventory(after: nil, limit: 1000).servers.count == Self.servers
            }
            #expect(Set(try await lab.branch.inventory(after: nil, limit: 1000).origins ?? []) == Set(leaves))
            try await eventually("every leaf is up, with its hosts") {
                let standings = try await lab.branch.standings()
                return standings.filter { $0.health == .up && $0.heartbeat?.hostsUp == Self.hosts }.map(\.path)
                    == leaves
            }
            #expect(try await lab.branch.hosts().map(\.cell) == leaves.flatMap { [$0, $0] })
            try await eventually("the branch tells of all of them") {
                let pulse = try await lab.branch.pulse()
                return (pulse.cells, pulse.cellsDown, pulse.hosts, pulse.hostsUp, pulse.conductorsUp) == (3, 0, 6, 6, 3)
            }
            lab.leaves[2].killSupervisor()
            try await eventually("the dead leaf is known") {
                let pulse = try await lab.branch.pulse()
                let health = try await lab.branch.standings().map(\.health)
                return (pulse.cellsDown, pulse.hosts, pulse.hostsUp, pulse.conductorsUp) == (1, 6, 4, 2)
                    && health == [.up, .up, .down]
            }
        }
    }

    private static func with(_ body: @escaping @Sendable (Lab) async throws -> Void) async throws {
        let pool = PostgresPool(try await PrivatePostgres.shared().createDatabase())
        do {
            try await run(pool, body)
        } catch {
            await pool.close()
            throw error
        }
        await pool.close()
    }

    private static func run(
        _ pool: PostgresPool, _ body: @escaping @Sendable (Lab) async throws -> Void
    ) async throws {
        _ = try await CellSchemas.migrate(pool, .branch)
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let store = PostgresBranchStore(pool: pool, cell: tree.branches[0])
        let pace = SimulatedLeaf.Pace(cells: tree.leaves.count)
        let brokers = Dictionary(uniqueKeysWithValues: tree.leaves.map { ($0, InMemoryBroker()) })
        let seeder = InstanceSeeder(
            count: servers, cells: tree.leaves.count, project: "p", user: "u",
            flavor: Flavor(id: "1", name: "small", vcpus: 1, memoryMiB: 128, diskGiB: 1), zone: "nova",
            now: SystemWallClock().now(), ids: SystemIDSource())
        var leaves: [SimulatedLeaf] = []
        for (number, path) in tree.leaves.enumerated() {
            let endpoint = CellMapping.Endpoint(
                host: "-", port: 1, vhost: path.name, user: "parent", password: Secret("-"))
            _ = try await store.putCell(path, bus: endpoint, now: SystemWallClock().now())
            let own = (1...hosts).map {
                SimulatedHosts.Host(name: HostName("\(path.name)-h\($0)"), provider: SystemIDSource().next())
            }
            let leaf = InMemoryCellStore(cell: path, wallClock: SystemWallClock())
            let guests = try await seeder.seed(cell: number, hosts: own.map(\.name), into: leaf)
            let broker = try #require(brokers[path])
            leaves.append(
                SimulatedLeaf(
                    cell: path, hosts: own, guests: guests, store: leaf, outside: broker.connect(),
                    inside: { broker.connect() }, pace: pace, clock: ContinuousClock(), hostClock: ContinuousClock(),
                    wallClock: SystemWallClock(), ids: SystemIDSource(), version: "test", logger: logger))
        }
        let branch = SimulatedBranch(
            cell: store.cell, store: store, bus: InMemoryBroker().connect(),
            connect: { brokers[$0.path]?.connect() ?? InMemoryBroker().connect() }, pace: pace,
            clock: ContinuousClock(), wallClock: SystemWallClock(), ids: SystemIDSource(), version: "test",
            logger: logger)
        let lab = Lab(branch: store, leaves: leaves)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await branch.run() }
            for leaf in leaves { group.addTask { await leaf.run() } }
            defer { group.cancelAll() }
            try await body(lab)
        }
    }
}
