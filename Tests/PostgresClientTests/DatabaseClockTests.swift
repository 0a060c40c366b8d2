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

    @Test func `it has the database's time, whatever the machine's clock says`() async throws {
        try await withPool { pool async throws in
            let clock = DatabaseClock(pool, from: WrongClock())
            #expect(abs(error(of: clock) - 3600) < 5, "until it was read")
            let moved = try #require(try await clock.read())
            #expect(abs(moved + 3600) < 5)
            #expect(abs(error(of: clock)) < 1)
            #expect(abs(try #require(try await clock.read())) < 1, "the second reading changes little")
        }
    }

    @Test func `an answer that took long moves nothing`() async throws {
        try await withPool({ $0.maximumConnections = 1 }) { pool async throws in
            let clock = DatabaseClock(pool, from: WrongClock())
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { _ = try await pool.query("select pg_sleep(0.5)") }
                while pool.lending.lentCount == 0 { await Task.yield() }
                // It waits for the only connection.
                #expect(try await clock.read() == nil)
                try await group.waitForAll()
            }
            #expect(abs(error(of: clock) - 3600) < 5)
        }
    }
}
