package import CloudModel
import FoundationEssentials
package import PostgresClient
package import ServerLifecycle

/// A leaf cell's database. Its schema is ``CellSchema``; bring it up to date before use.
package struct PostgresCellStore: CellStore {
    let pool: PostgresPool
    let cell: CellPath

    /// - Parameter cell: the leaf whose database it is; its events carry the name.
    package init(pool: PostgresPool, cell: CellPath) {
        self.pool = pool
        self.cell = cell
    }

    /// For what a crash of the server may forget: who spoke last, who holds what lease.
    static let withoutWaitingForDisk: Statement = "set local synchronous_commit = off"

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
