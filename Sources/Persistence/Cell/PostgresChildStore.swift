package import CloudModel
import FoundationEssentials
package import PostgresClient
package import ServerLifecycle

/// What the databases of a leaf and of a branch have in common: `outbox.events`, `outbox.position`, `cell.duties`.
package protocol PostgresChildStore: ChildStore {
    var pool: PostgresPool { get }
    /// Its events carry the name.
    var cell: CellPath { get }
    /// SQL over `outbox.events`: the leaf that an event comes from, or null.
    static var origin: String { get }
}

extension PostgresChildStore {
    /// For what a crash of the server may forget: who spoke last, who holds what lease.
    static var withoutWaitingForDisk: Statement { "set local synchronous_commit = off" }

    /// Runs `body` in a transaction, with this port's errors.
    func transaction<Result: Sendable>(
        _ body: (PostgresTransaction) async throws -> Result
    ) async throws(CellStoreError) -> Result {
        do {
            return try await pool.transaction(body)
        } catch {
            throw CellStoreError(error)
        }
    }

    /// Runs `body`, with this port's errors.
    func attempt<Result>(_ body: () async throws -> Result) async throws(CellStoreError) -> Result {
        do {
            return try await body()
        } catch {
            throw CellStoreError(error)
        }
    }

    package func listen(
        _ nudge: CellNudge, _ onNudge: @escaping @Sendable () -> Void
    ) async throws(CellStoreError) {
        // What was missed while the connection was away is a nudge too.
        for await _ in pool.listen(channel: nudge.rawValue) { onNudge() }
    }

    static func notify(_ nudge: CellNudge) -> Statement { "select pg_notify(\(nudge.rawValue), '')" }

    package func takeDuty(
        _ duty: CellDuty, owner: String, for duration: Duration
    ) async throws(CellStoreError) -> Bool {
        try await attempt {
            let answers = try await pool.pipelineTransaction([
                Self.withoutWaitingForDisk,
                """
                insert into cell.duties as d (name, owner, until)
                values (\(duty.rawValue), \(owner), now() + \(duration.timeInterval) * interval '1 second')
                on conflict (name) do update set owner = excluded.owner, until = excluded.until
                where d.owner = excluded.owner or d.until < now()
                """,
            ])
            return answers.last?.affected == 1
        }
    }

    package func releaseDuty(_ duty: CellDuty, owner: String) async throws(CellStoreError) {
        try await attempt {
            _ = try await pool.execute(
                "delete from cell.duties where name = \(duty.rawValue) and owner = \(owner)")
        }
    }
}

extension CellStoreError {
    init(_ error: any Error) {
        switch error {
        case let error as CellStoreError: self = error
        case PostgresError.cancelled: self = .cancelled
        case is CancellationError: self = .cancelled
        case PostgresError.closed: self = .unavailable("\(error)")
        case let error as PostgresError where error.isTransient: self = .unavailable("\(error)")
        default: self = .broken("\(error)")
        }
    }
}
