import CellProtocol
import CloudModel
import Conductor
import FoundationEssentials
import MessageBus
import Persistence
import PostgresClient
import Primitives
import ServerLifecycle
import Supervisor
import Synchronization
import TestSupport
import Testing

/// A cell of any kind in this process, `/north`, with two hosts below it, and a parent that speaks and listens to it.
///
/// Leaves keep their servers in memory, branches in a database; every cell has a broker of its own.
final class CellTree: Sendable {
    enum Kind: String, CaseIterable, Sendable {
        case leaf, branchOverLeaves, branchOverBranches

        static var available: [Kind] { PrivatePostgres.isInstalled ? allCases : [.leaf] }

        /// The leaves of the two hosts.
        var leaves: [CellPath] {
            switch self {
            case .leaf: [testCell, testCell]
            case .branchOverLeaves: [path("/north/a"), path("/north/b")]
            case .branchOverBranches: [path("/north/x/a"), path("/north/y/b")]
            }
        }

        var branches: [CellPath] {
            switch self {
            case .leaf: []
            case .branchOverLeaves: [testCell]
            case .branchOverBranches: [path("/north/x"), path("/north/y"), testCell]
            }
        }
    }

    static let hosts: [HostName] = ["host-1", "host-2"]

    let kind: Kind
    /// Names of the supervisors of every cell.
    let supervisors: [String]
    let wallClock = TestWallClock()
    let agents: [FakeAgent]
    let parent: Parent
    /// The parent's connection to the cell.
    let bus: any MessageBus
    private let brokers: [CellPath: InMemoryBroker]
    private let stores = Mutex<[CellPath: PostgresBranchStore]>([:])
    private let ends = Mutex<[String: Nudge]>([:])

    private init(_ kind: Kind, supervisors: [String]) {
        self.kind = kind
        self.supervisors = supervisors
        let brokers = Dictionary(
            uniqueKeysWithValues: Set(kind.leaves + kind.branches).map { ($0, InMemoryBroker()) })
        self.brokers = brokers
        let wallClock = wallClock
        agents = zip(Self.hosts, kind.leaves).map { name, leaf in
            FakeAgent(name, bus: Self.broker(leaf, brokers).connect(), wallClock: wallClock)
        }
        bus = Self.broker(testCell, brokers).connect()
        parent = Parent(bus: bus)
    }

    private static func broker(_ cell: CellPath, _ brokers: [CellPath: InMemoryBroker]) -> InMemoryBroker {
        brokers[cell] ?? InMemoryBroker()
    }

    func broker(_ cell: CellPath) -> InMemoryBroker { Self.broker(cell, brokers) }
    func branch(_ cell: CellPath) throws -> PostgresBranchStore { try #require(stores.withLock { $0[cell] }) }

    /// Runs the tree around `body`.
    static func with(
        _ kind: Kind, supervisors: [String] = ["s1"], _ body: @escaping @Sendable (CellTree) async throws -> Void
    ) async throws {
        let tree = CellTree(kind, supervisors: supervisors)
        var pools: [PostgresPool] = []
        for cell in kind.branches {
            let pool = PostgresPool(try await PrivatePostgres.shared().createDatabase())
            pools.append(pool)
            _ = try await CellSchemas.migrate(pool, .branch)
            tree.stores.withLock { $0[cell] = PostgresBranchStore(pool: pool, cell: cell) }
        }
        do {
            try await tree.run(body)
        } catch {
            for pool in pools { await pool.close() }
            throw error
        }
        for pool in pools { await pool.close() }
    }

    private func run(_ body: @escaping @Sendable (CellTree) async throws -> Void) async throws {
        for cell in brokers.keys { try await broker(cell).connect().declare(.cell) }
        for (host, leaf) in zip(Self.hosts, kind.leaves) { try await broker(leaf).connect().declare(.host(host.text)) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for leaf in Set(kind.leaves) { group.addTask { try await self.runLeaf(leaf) } }
            for cell in kind.branches { group.addTask { try await self.runBranch(cell) } }
            for agent in agents { group.addTask { try? await agent.run() } }
            group.addTask { try await self.parent.run() }
            defer { group.cancelAll() }
            try await eventually("the cell is as it should be") {
                guard let beat = parent.heartbeats.last else { return false }
                return beat.hostsUp == 2 && (beat.cellsDown ?? 0) == 0
            }
            // A heartbeat counts hosts; the directory has them once their events are applied.
            try await answered("its hosts are known") { try await call(HostsRequest()).hosts.count == 2 }
            try await body(self)
        }
    }

    /// Runs one of a cell's supervisors until it is ended, without being asked.
    private func run(_ name: String, of cell: CellPath, _ body: @escaping @Sendable () async throws -> Void)
        async throws
    {
        let end = Nudge()
        ends.withLock { $0["\(name)@\(cell)"] = end }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await body() }
            group.addTask { await end.wait() }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    /// Ends one of a cell's supervisors where it stands.
    func end(_ name: String, of cell: CellPath) { ends.withLock { $0["\(name)@\(cell)"] }?.signal() }

    func runLeaf(_ cell: CellPath) async throws {
        let store = InMemoryCellStore(cell: cell, wallClock: wallClock)
        let hosts = zip(Self.hosts, kind.leaves).filter { $0.1 == cell }.map(\.0)
        let all = supervisors.map { name in
            LeafSupervisor(
                cell: cell, name: name, version: "test", hosts: hosts, store: store, bus: broker(cell).connect(),
                clock: ContinuousClock(), wallClock: wallClock, ids: SystemIDSource(),
                settings: LeafCell.leafSettings, logger: quiet)
        }
        let conductor = ConductorService(
            cell: cell, name: "c1", store: store, bus: broker(cell).connect(), clock: ContinuousClock(),
            wallClock: wallClock, ids: SystemIDSource(), settings: LeafCell.conductorSettings, logger: quiet)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (name, supervisor) in zip(supervisors, all) {
                group.addTask { try await self.run(name, of: cell) { try await supervisor.run() } }
            }
            group.addTask { try await conductor.run() }
            try await group.waitForAll()
        }
    }

    func runBranch(_ cell: CellPath) async throws {
        let store = try branch(cell)
        for child in Set(kind.leaves + kind.branches) where child.parent == cell {
            let endpoint = CellMapping.Endpoint(
                host: "-", port: 1, vhost: child.description, user: "parent", password: Secret("-"))
            _ = try await store.putCell(child, bus: endpoint, now: wallClock.now())
        }
        var settings = ChildSettings.branch
        settings.heartbeatInterval = .milliseconds(50)
        settings.pulseInterval = .milliseconds(50)
        settings.publishInterval = .milliseconds(50)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for name in supervisors {
                let router = ChildRouter(sender: "\(name)@\(cell)", ids: SystemIDSource(), wallClock: wallClock) {
                    [brokers] mapping in Self.broker(mapping.path, brokers).connect()
                }
                let supervisor = BranchSupervisor(
                    cell: cell, name: name, version: "test", store: store, bus: broker(cell).connect(), router: router,
                    clock: ContinuousClock(), wallClock: wallClock, ids: SystemIDSource(), settings: settings,
                    logger: quiet)
                group.addTask { try await self.run(name, of: cell) { try await supervisor.run() } }
            }
            try await group.waitForAll()
        }
    }

    // MARK: The parent's calls

    func call<R: CellRequest>(
        _ request: R, as caller: Caller? = user, of cell: CellPath? = nil, key: String? = nil
    ) async throws -> R.Reply {
        let envelope = Envelope(
            messageID: ids.uuid(), idempotencyKey: key, requestID: "req-1", deadline: wallClock.now() + 20,
            sender: "test", caller: caller, cell: cell?.description, kind: R.kind,
            body: try JSONEncoder().encode(request))
        let answer = try await bus.call(envelope, queue: CellTopology.supervisorQueue, timeout: .seconds(20))
        return try CellCall.decode(answer, as: R.self)
    }

    func show(_ servers: [ServerID]) async throws -> GetRequest.Reply {
        try await call(GetRequest(ids: servers, view: fullView))
    }

    /// Repeats while a cell on the way is away for a moment, or whichever supervisor is asked has not heard that it is up.
    func answered(_ what: Comment, _ body: () async throws -> Bool) async throws {
        try await eventually(what) {
            do { return try await body() } catch let failure as CellFailure where failure.absence != nil {
                return false
            }
        }
    }

    /// As the cell shows it; empty when it has no such server.
    func shown(_ id: ServerID) async throws -> String {
        String(decoding: try await show([id]).rows.first?.rendered ?? Data(), as: UTF8.self)
    }

    /// A server that runs on the host, as the parent has heard.
    func boot(on host: HostName = "host-1") async throws -> ServerID {
        let instance = makeInstance(host: host)
        try await answered("it is accepted") {
            try await self.call(BuildRequest(builds: [makeBuild(instance)])).accepted == [instance.id]
        }
        try await eventually("it runs") { self.states(of: instance.id).last == .active }
        return instance.id
    }

    /// The states that the parent heard of, in order.
    func states(of id: ServerID) -> [VMState] {
        parent.news(of: id).compactMap { if case .instanceChanged(let summary) = $0 { summary.state.vm } else { nil } }
    }
}

func path(_ text: String) -> CellPath { CellPath(text) ?? .root }

let fullView = ServerViewContext(
    detail: .full, microversion: 96, computeURL: "http://cloud/compute/v2.1", isAdmin: true)
