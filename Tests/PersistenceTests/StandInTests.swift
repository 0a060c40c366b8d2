import CellProtocol
import CloudModel
import FoundationEssentials
import Persistence
import PostgresClient
import Primitives
import ServerLifecycle
import TestSupport
import Testing

/// The stand-ins that simulations run on keep what the adapters keep.
@Suite(.timeLimit(.minutes(5))) struct StandInTests {
    private struct FixedClock: WallClock {
        func now() -> Date { RootFixture.now }
    }

    @Test(arguments: RootContract<InMemoryRootStore>.Clause.allCases)
    func theRootsStandIn(_ clause: RootContract<InMemoryRootStore>.Clause) async throws {
        let store = InMemoryRootStore(wallClock: FixedClock())
        try await RootContract(store, store).check(clause)
    }

    @Test(arguments: BranchContract<InMemoryBranchStore>.Clause.allCases)
    func aBranchsStandIn(_ clause: BranchContract<InMemoryBranchStore>.Clause) async throws {
        try await BranchContract(
            InMemoryBranchStore(cell: BranchContract<InMemoryBranchStore>.branch, wallClock: FixedClock())
        )
        .check(clause)
    }

    @Test(
        .enabled(if: PrivatePostgres.isInstalled, "PostgreSQL is not installed"),
        arguments: RootContract<PostgresRootStore>.Clause.allCases)
    func theRootsDatabase(_ clause: RootContract<PostgresRootStore>.Clause) async throws {
        try await Self.withPool { pool in
            _ = try await CellSchemas.migrate(pool, .root)
            let store = PostgresRootStore(
                pool: pool,
                ports: PortLedger(
                    reserve: { _, _, _ in ReservedPorts(interfaces: [], securityGroups: ["default"]) },
                    release: { _, _ in }, reconcile: { _ in 0 }))
            try await RootContract(store, PostgresServerAcceptance(store: store, now: { RootFixture.now }))
                .check(clause)
        }
    }

    @Test(
        .enabled(if: PrivatePostgres.isInstalled, "PostgreSQL is not installed"),
        arguments: BranchContract<PostgresBranchStore>.Clause.allCases)
    func aBranchsDatabase(_ clause: BranchContract<PostgresBranchStore>.Clause) async throws {
        try await Self.withPool { pool in
            _ = try await CellSchemas.migrate(pool, .branch)
            let store = PostgresBranchStore(pool: pool, cell: BranchContract<PostgresBranchStore>.branch)
            try await BranchContract(store).check(clause)
        }
    }

    private static func withPool(_ body: (PostgresPool) async throws -> Void) async throws {
        let pool = PostgresPool(try await PrivatePostgres.shared().createDatabase())
        do {
            try await body(pool)
        } catch {
            await pool.close()
            throw error
        }
        await pool.close()
    }
}
