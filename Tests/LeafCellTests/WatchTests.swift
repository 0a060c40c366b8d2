import CloudModel
import FoundationEssentials
import Persistence
import PostgresClient
import Primitives
import ServerLifecycle
import TestSupport
import Testing

@testable import Supervisor

@Suite(.timeLimit(.minutes(2)), .enabled(if: PrivatePostgres.isInstalled, "needs PostgreSQL"))
struct WatchTests {
    private final class MovedClock: WallClock {
        let offset = Mutexed<TimeInterval>(0)

        func now() -> Date { testEpoch + offset.withLock { $0 } }
    }

    @Test("a watch that was away for a moment is another one, though nobody else had it")
    func tenures() async throws {
        let pool = PostgresPool(try await PrivatePostgres.shared().createDatabase())
        _ = try await CellSchemas.migrate(pool, .branch)
        let clock = MovedClock()
        let watch = Watch(
            owner: "s1", store: PostgresBranchStore(pool: pool, cell: testCell), clock: ContinuousClock(),
            wallClock: clock, logger: quiet)
        let changes = Mutexed(0)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await watch.keep { changes.withLock { $0 += 1 } } }
            defer { group.cancelAll() }
            try await eventually("taken") { watch.tenure == 1 && changes.withLock { $0 } == 1 }
            // It could not be renewed for longer than it lasts.
            clock.offset.withLock { $0 = 10 }
            try await eventually("taken again") { (watch.tenure ?? 0) > 1 && changes.withLock { $0 } > 1 }
        }
        await pool.close()
    }
}
