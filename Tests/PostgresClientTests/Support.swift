import PostgresClient
import Synchronization
import TestSupport
import Testing

/// Skips tests that need a server where there is none.
let needsServer = ConditionTrait.enabled(if: PrivatePostgres.isInstalled, "PostgreSQL's server is not installed")

/// Runs `body` with a pool on an empty database of its own. Write `pool async throws in`: the compiler does not see into
/// `#expect` when it infers what a closure throws.
func withPool(
    _ change: (inout PostgresConfiguration) -> Void = { _ in }, _ body: (PostgresPool) async throws -> Void
) async throws {
    var configuration = try await PrivatePostgres.shared().createDatabase()
    change(&configuration)
    let pool = PostgresPool(configuration)
    do {
        try await body(pool)
    } catch {
        await pool.close(grace: .zero)
        throw error
    }
    await pool.close()
}

/// A value that several tasks of a test look at and change.
final class Shared<Value: Sendable>: Sendable {
    private let value: Mutex<Value>
    init(_ value: Value) { self.value = Mutex(value) }
    func withLock<R: Sendable>(_ body: (inout Value) -> R) -> R { value.withLock { body(&$0) } }
}

extension PostgresPool {
    /// The server process of one of the pool's sessions.
    func backendID() async throws -> Int32 {
        try #require(try await query("select pg_backend_pid()").scalar(as: Int32.self))
    }

    /// Whether a statement that contains `text` runs in this database just now.
    func isRunning(_ text: String) async throws -> Bool {
        let rows = try await query(
            """
            select 1 from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() \
            and state = 'active' and query like \("%\(text)%")
            """)
        return !rows.isEmpty
    }
}

/// Polls until `condition` holds, for use in `#expect`. False when it still does not after `limit`.
func eventually<Failure: Error>(
    within limit: Duration = .seconds(20), _ condition: () async throws(Failure) -> Bool
) async throws(Failure) -> Bool {
    let clock = ContinuousClock()
    let deadline = clock.now + limit
    while clock.now < deadline {
        if try await condition() { return true }
        do { try await clock.sleep(for: .milliseconds(5)) } catch { return false }
    }
    return try await condition()
}
