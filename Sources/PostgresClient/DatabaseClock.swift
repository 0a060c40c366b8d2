package import FoundationEssentials
package import Primitives
import Synchronization

/// Calendar time as a database has it: one clock for all processes that share the database, wherever they run.
///
/// Between readings it goes on by the time that passes, so a step of this machine's own clock does not move it. Until the first
/// reading it begins from the machine's clock. A step of the database's clock is followed with the next reading.
package final class DatabaseClock: WallClock {
    /// What a reading may take to be of use: it is wrong by half of that at most.
    package static let precision: Duration = .milliseconds(250)

    private struct Base {
        var date: Date
        var instant: ContinuousClock.Instant
    }

    private let pool: PostgresPool
    private let base: Mutex<Base>

    package init(_ pool: PostgresPool, from machine: any WallClock = SystemWallClock()) {
        self.pool = pool
        base = Mutex(Base(date: machine.now(), instant: .now))
    }

    package func now() -> Date {
        let base = base.withLock { $0 }
        return base.date + (ContinuousClock.now - base.instant) / .seconds(1)
    }

    /// Asks the database.
    /// - Returns: by how much the clock was moved (seconds, forward is positive); nil when the answer took too long to be of use.
    @discardableResult
    package func read() async throws(PostgresError) -> TimeInterval? {
        let begin = ContinuousClock.now
        let rows = try await pool.query("select clock_timestamp() as now")
        let taken = ContinuousClock.now - begin
        guard taken <= Self.precision, let date = try rows.first?.get("now", as: Date.self) else { return nil }
        let before = now()
        let next = Base(date: date, instant: begin + taken / 2)
        base.withLock { $0 = next }
        return now().timeIntervalSince(before)
    }
}
