import Primitives
import Synchronization

/// A bounded set of sessions with one database. Connections are opened when they are needed, replaced when they break and
/// closed when they lie idle; callers queue for them, up to a wait limit.
///
/// Nothing here keeps a session's state between calls: no `set`, no temporary tables, no session advisory locks outside a
/// transaction. Call `close()` at the end; a pool that is let go closes at once.
package final class PostgresPool: Sendable {
    /// The most statements in one round trip.
    package static let pipelineLimit = 4096
    /// How long a roll-back may take before the connection is dropped instead.
    static let rollbackLimit: Duration = .seconds(5)
    private static let staleRepeats = 1

    package var configuration: PostgresConfiguration { sessions.configuration }
    var reactor: Reactor { sessions.reactor }
    var lending: Lending { sessions.lending }
    var briefs: BriefStatements { sessions.briefs }
    /// Nil where the database has the names that statements write.
    let names: SchemaNames?
    private let sessions: Sessions

    /// - Parameter thread: waits for the pool's sockets; one of its own unless it is shared with other pools.
    package init(_ configuration: PostgresConfiguration, thread: PostgresThread = PostgresThread()) {
        sessions = Sessions(configuration, thread)
        names = nil
    }

    private init(_ sessions: Sessions, _ names: SchemaNames) {
        self.sessions = sessions
        self.names = names
    }

    /// The same sessions, for a program whose schemas have those names in the database. Closing either closes both.
    package func naming(_ names: SchemaNames) -> PostgresPool { PostgresPool(sessions, names) }

    /// Runs one statement by itself and answers with its rows; a ``Statement/brief`` one with others that are, if no session
    /// is free. The answer is held in memory whole: bound it with `limit`.
    package func query(_ statement: Statement) async throws(PostgresError) -> Rows {
        if statement.isBrief, let result = try await briefs.run([statement].naming(names)[0]) { return Rows(result) }
        guard let result = try await run([statement]).last else { throw .connection("no answer") }
        return Rows(result)
    }

    /// Runs one statement by itself and answers how many rows it changed.
    @discardableResult
    package func execute(_ statement: Statement) async throws(PostgresError) -> Int {
        try await query(statement).affected
    }

    /// Runs statements in one round trip. Without a transaction command among them they take effect all or not at all.
    @discardableResult
    package func pipeline(_ statements: [Statement]) async throws(PostgresError) -> [Rows] {
        guard !statements.isEmpty else { return [] }
        return try await run(statements).map(Rows.init)
    }

    /// Runs statements as one transaction in one round trip, BEGIN and COMMIT included. Not repeated when it loses against
    /// another transaction. A ``PostgresError/commitOutcomeUnknown(_:)`` or ``PostgresError/cancelled`` may have committed.
    @discardableResult
    package func pipelineTransaction(
        _ statements: [Statement], isolation: TransactionIsolation = .readCommitted
    ) async throws(PostgresError) -> [Rows] {
        guard !statements.isEmpty else { return [] }
        let results = try await run([isolation.begin] + statements + [.commit], isTransaction: true)
        guard results.last?.tag == "COMMIT" else { throw .rolledBackByServer }
        return results.dropFirst().dropLast().map(Rows.init)
    }

    /// Runs `body` in a transaction: commits when it returns, rolls back when it throws or the task was cancelled.
    ///
    /// When the transaction lost against another one (serialisation failure, deadlock), `body` runs again from its start,
    /// up to `retries` times with a jittered wait between; so it must do nothing but use the transaction. BEGIN travels
    /// with the first statement, and a body that sends nothing costs nothing. Throws what `body` throws, and
    /// ``PostgresError`` for BEGIN and COMMIT; a ``PostgresError/commitOutcomeUnknown(_:)`` may have committed.
    @discardableResult
    package func transaction<R: Sendable>(
        isolation: TransactionIsolation = .readCommitted, retries: Int = 3,
        _ body: (PostgresTransaction) async throws -> R
    ) async throws -> R {
        let backoff = Backoff(base: .milliseconds(2), cap: .milliseconds(250))
        var generator = SystemRandomNumberGenerator()
        for attempt in 0... {
            switch await attemptTransaction(isolation, body) {
            case .success(let value): return value
            case .failure(let failure):
                guard failure.mayRepeat, attempt < retries, !Task.isCancelled else { throw failure.error }
            }
            await reactor.sleep(backoff.delay(attempt: attempt, using: &generator))
        }
        throw PostgresError.closed
    }

    /// Stops lending, waits up to `grace` for what is lent, then ends all sessions. Whoever waits gets ``PostgresError/closed``.
    package func close(grace: Duration = .seconds(5)) async {
        await lending.close(grace: grace)
        reactor.stop()
    }
}

extension PostgresPool {
    private struct TransactionFailure: Error {
        let error: any Error
        var mayRepeat = false
    }

    private func attemptTransaction<R: Sendable>(
        _ isolation: TransactionIsolation, _ body: (PostgresTransaction) async throws -> R
    ) async -> Result<R, TransactionFailure> {
        let connection: Connection
        do throws(PostgresError) {
            connection = try await lending.borrow()
        } catch {
            return .failure(TransactionFailure(error: error))
        }
        let transaction = PostgresTransaction(connection, isolation, names)
        let outcome: Result<R, TransactionFailure>
        do {
            let value = try await body(transaction)
            if Task.isCancelled { throw PostgresError.cancelled }
            try await transaction.commit()
            outcome = .success(value)
        } catch {
            outcome = .failure(TransactionFailure(error: error, mayRepeat: transaction.lostAgainstAnother))
        }
        transaction.end()
        if connection.isOpen, !connection.isClean { await Self.rollBack(connection) }
        lending.giveBack(connection)
        return outcome
    }

    /// Not cancellable: a cancelled task rolls back too.
    private static func rollBack(_ connection: Connection) async {
        _ = await connection.perform([.rollback], Connection.Limits(cancellable: false, time: rollbackLimit))
    }

    private func run(
        _ statements: [Statement], isTransaction: Bool = false
    ) async throws(PostgresError) -> [ResultBox] {
        try Self.checkLength(statements)
        let statements = statements.naming(names)
        var repeats = 0
        while true {
            let connection = try await lending.borrow()
            let limits = Connection.Limits(time: connection.timeLimit(statements: statements.count))
            let answer = await connection.perform(statements, limits)
            let isLost = !connection.isOpen
            if isTransaction, !isLost, !connection.isClean { await Self.rollBack(connection) }
            lending.giveBack(connection)
            switch answer {
            case .success(let results): return results
            // Nothing took effect, and the statements will be prepared anew.
            case .failure(.stalePlan) where repeats < Self.staleRepeats: repeats += 1
            case .failure(let error): throw isTransaction && isLost ? error.asCommitFailure : error
            }
        }
    }

    static func checkLength(_ statements: [Statement]) throws(PostgresError) {
        if statements.count > pipelineLimit { throw .encoding("too many statements in one round trip") }
    }
}

/// What a pool shares with those that have other names for its schemas. The last that lets it go closes it.
private final class Sessions: Sendable {
    let configuration: PostgresConfiguration
    let reactor: Reactor
    let lending: Lending
    let briefs: BriefStatements

    init(_ configuration: PostgresConfiguration, _ thread: PostgresThread) {
        self.configuration = configuration
        reactor = Reactor(thread)
        lending = Lending(configuration, reactor)
        briefs = BriefStatements(lending, limit: configuration.maximumWaiters)
    }

    deinit {
        lending.closeNow()
        reactor.stop()
    }
}
