import CellProtocol
import CloudModel
import FoundationEssentials
import Persistence
import PostgresClient
import Primitives
import ServerLifecycle
import Synchronization
import TestSupport
import Testing

/// Both adapters of the port, for one suite.
enum StoreKind: String, CaseIterable, Sendable {
    case memory, postgres
    /// Beside other cells' schemas in one database, as laboratories of many cells have them.
    case sharedPostgres

    static var available: [StoreKind] { PrivatePostgres.isInstalled ? allCases : [.memory] }

    /// Runs `body` with a store of its own.
    func with<Result: Sendable>(
        _ wallClock: any WallClock = SystemWallClock(), _ body: (any CellStore) async throws -> Result
    ) async throws -> Result {
        switch self {
        case .memory:
            return try await body(InMemoryCellStore(cell: testCell, wallClock: wallClock))
        case .postgres, .sharedPostgres: return try await Self.withPool(names) { _, store in try await body(store) }
        }
    }

    /// Of its schemas, where they are not called as its statements do.
    var names: SchemaNames? { self == .sharedPostgres ? SchemaNames(CellSchema.schemas, prefix: "c1_") : nil }

    /// A store on a database of its own, with the way around it.
    static func withPool<Result: Sendable>(
        _ names: SchemaNames? = nil, _ body: (PostgresPool, any CellStore) async throws -> Result
    ) async throws -> Result {
        var pool = PostgresPool(try await PrivatePostgres.shared().createDatabase())
        if let names { pool = pool.naming(names) }
        do {
            try await Migrator(pool).migrate(CellSchema.migrations, schemaName: CellSchema.name)
            let result = try await body(pool, PostgresCellStore(pool: pool, cell: testCell))
            await pool.close()
            return result
        } catch {
            await pool.close()
            throw error
        }
    }
}

final class Counter: Sendable {
    private let count = Mutex(0)
    var value: Int { count.withLock { $0 } }
    func add() { count.withLock { $0 += 1 } }
}

/// Asks again until it is so, at most thirty seconds.
func eventually(
    _ what: Comment, sourceLocation: SourceLocation = #_sourceLocation, _ condition: () async throws -> Bool
) async throws {
    let clock = ContinuousClock()
    let end = clock.now + .seconds(30)
    while clock.now < end {
        if try await condition() { return }
        try await clock.sleep(for: .milliseconds(5))
    }
    Issue.record(what, sourceLocation: sourceLocation)
    throw CancellationError()
}

extension CellStore {
    /// Plans and writes, as the services do.
    @discardableResult
    func plan<Result: Sendable>(
        _ scope: CellScope, now: Date = testEpoch, _ body: @escaping @Sendable (inout CellPlan) -> Result
    ) async throws -> Result {
        try await transact(scope) { snapshot in
            var plan = CellPlan(snapshot, now: now)
            let result = body(&plan)
            return CellDecision(plan.changes(), result)
        }
    }

    func join(_ names: HostName..., provider: ProviderID? = nil) async throws {
        let sightings = names.map { makeSighting($0, provider: provider ?? ids.next(), inventory: makeInventory()) }
        _ = try await changeHosts(names) { HostPlan.sight(sightings, known: $0, cell: testCell) }
    }

    /// Accepts a build.
    @discardableResult
    func admit(_ instance: Instance, saga: SagaID = ids.next(), now: Date = testEpoch) async throws -> SagaID {
        let scope = CellScope(servers: [instance.id], hosts: instance.host.map { [$0] } ?? [])
        let refusal = try await plan(scope, now: now) {
            $0.admit(makeBuild(instance), sagaID: saga, caller: user, traceParent: "00-1-2-01")
        }
        #expect(refusal == nil)
        return saga
    }

    func snapshot(_ scope: CellScope) async throws -> CellSnapshot {
        try await transact(scope) { CellDecision(CellChanges(), $0) }
    }

    /// Takes what is free and begins it.
    func claimed(_ owner: String, for duration: Duration = .seconds(60), limit: Int = 10) async throws -> [SagaID] {
        try await claim(SagaLease(owner: owner, duration: duration), limit: limit) { snapshot in
            let sagas = snapshot.sagas.values.sorted { ($0.createdAt, $0.id) < ($1.createdAt, $1.id) }
            return CellDecision(CellChanges(), sagas.map(\.id))
        }
    }
}
