import FoundationEssentials
import Primitives
import Testing

@testable import PostgresClient

@Suite(needsServer, .timeLimit(.minutes(2)))
struct DatabaseClockTests {
    private struct WrongClock: WallClock {
        func now() -> Date { SystemWallClock().now() + 3600 }
    }

    /// The tests' server is on this machine.
    private func error(of clock: DatabaseClock) -> TimeInterval {
        clock.now().timeIntervalSince(SystemWallClock().now())
    }

    /// A reading that took too long is none.
    private func moved(_ clock: DatabaseClock) async throws -> TimeInterval {
        var moved: TimeInterval?
        #expect(
            try await eventually {
                moved = try await clock.read()
                return moved != nil
            })
        return try #require(moved)
    }

    @Test func `it has the database's time, whatever the machine's clock says`() async throws {
        try await withPool { pool async throws in
            let clock = DatabaseClock(pool, from: WrongClock())
            #expect(abs(error(of: clock) - 3600) < 5, "until it was read")
            #expect(abs(try await moved(clock) + 3600) < 5)
            #expect(abs(error(of: clock)) < 1)
            #expect(abs(try await moved(clock)) < 1, "the second reading changes little")
        }
    }

    @Test func `an answer that took long moves nothing`() async throws {
        try await withPool({ $0.maximumConnections = 1 }) { pool async throws in
            let clock = DatabaseClock(pool, from: WrongClock())
            let reading = try await pool.transaction { transaction in
                _ = try await transaction.query("select 1")
                // It waits for the only connection.
                let reading = Task { try await clock.read() }
                #expect(await eventually { pool.lending.waiterCount == 1 })
                try await Task.sleep(for: DatabaseClock.precision * 2)
                return reading
            }
            #expect(try await reading.value == nil)
            #expect(abs(error(of: clock) - 3600) < 5)
        }
    }
}
