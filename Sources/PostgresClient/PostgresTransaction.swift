/// An open transaction, lent to the body of ``PostgresPool/transaction(isolation:retries:_:)``. Not sendable: one task uses
/// it, one statement at a time. After the body's end every call throws ``PostgresError/closed``.
package final class PostgresTransaction {
    private enum Phase { case notBegun, open, ended }

    private let connection: Connection
    private let isolation: TransactionIsolation
    private let names: SchemaNames?
    private var phase = Phase.notBegun
    private var firstFailure: PostgresError?
    private var hasTimeLimit = true

    init(_ connection: Connection, _ isolation: TransactionIsolation, _ names: SchemaNames?) {
        self.connection = connection
        self.isolation = isolation
        self.names = names
    }

    /// Lets statements run for ever, for migrations; the server's own limit is the caller's to lift.
    func liftTimeLimit() { hasTimeLimit = false }

    /// Runs one statement and answers with its rows. After an error the transaction can only be rolled back.
    package func query(_ statement: Statement) async throws(PostgresError) -> Rows {
        guard let rows = try await pipeline([statement]).first else { throw .connection("no answer") }
        return rows
    }

    /// Runs one statement and answers how many rows it changed.
    @discardableResult
    package func execute(_ statement: Statement) async throws(PostgresError) -> Int {
        try await query(statement).affected
    }

    /// Runs statements in one round trip.
    @discardableResult
    package func pipeline(_ statements: [Statement]) async throws(PostgresError) -> [Rows] {
        guard phase != .ended else { throw .closed }
        guard !statements.isEmpty else { return [] }
        try PostgresPool.checkLength(statements)
        let begins = phase == .notBegun
        let named = statements.naming(names)
        let batch = begins ? [isolation.begin] + named : named
        let time = hasTimeLimit ? connection.timeLimit(statements: batch.count) : nil
        switch await connection.perform(batch, Connection.Limits(time: time)) {
        case .success(let results):
            phase = .open
            return results.dropFirst(begins ? 1 : 0).map(Rows.init)
        case .failure(let error):
            if connection.isOpen, !connection.isClean { phase = .open }
            firstFailure = firstFailure ?? error
            throw error
        }
    }

    /// Once sent, a COMMIT isn't cancelled: its outcome has to be known.
    func commit() async throws(PostgresError) {
        guard phase == .open else {
            if let firstFailure { throw firstFailure }
            return
        }
        let limits = Connection.Limits(cancellable: false, time: connection.timeLimit(statements: 1))
        switch await connection.perform([.commit], limits) {
        case .success(let results) where results.last?.tag == "COMMIT": return
        case .success:
            if let firstFailure { throw firstFailure }
            throw .rolledBackByServer
        case .failure(let error):
            firstFailure = firstFailure ?? error
            throw connection.isOpen ? error : error.asCommitFailure
        }
    }

    func end() { phase = .ended }

    /// The server ended it in favour of another transaction, whatever the body made of that error.
    var lostAgainstAnother: Bool {
        firstFailure?.sqlState?.isSerializationConflict == true || firstFailure == .stalePlan
    }
}

extension PostgresError {
    /// The server answered COMMIT with a roll-back, because a statement before had failed.
    static let rolledBackByServer = PostgresError.server(
        sqlState: .inFailedTransaction, message: "the transaction had failed and was rolled back", detail: nil,
        constraint: nil)

    /// What the end of the connection means to somebody who had sent COMMIT.
    var asCommitFailure: PostgresError {
        switch self {
        case .connection(let reason): .commitOutcomeUnknown(reason)
        case .timedOut: .commitOutcomeUnknown("no answer in time")
        case .server(let state, let message, _, _) where state.endsSession: .commitOutcomeUnknown(message)
        case .server, .commitOutcomeUnknown, .poolExhausted, .cancelled, .decoding, .encoding, .closed: self
        }
    }
}
