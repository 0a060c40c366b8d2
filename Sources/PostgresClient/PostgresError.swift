import Primitives

/// Everything that can go wrong between a caller and PostgreSQL. No case ever carries a password or a bound value.
package enum PostgresError: Error, Equatable, Sendable {
    /// The server refused the statement or the connection. `detail` may quote stored values: don't log or show it.
    case server(sqlState: SQLState, message: String, detail: String?, constraint: String?)
    /// The connection could not be made or was lost; whether a statement in flight took effect is unknown.
    case connection(String)
    /// The connection was lost while COMMIT was on its way: the transaction may or may not have taken effect.
    case commitOutcomeUnknown(String)
    /// No connection came free within the pool's wait limit, or its queue of waiters is full.
    case poolExhausted
    /// The statement took longer than the statement time-out, or the server did not answer in time.
    case timedOut
    /// The calling task was cancelled. What it had sent outside a transaction's body may have taken effect.
    case cancelled
    /// A value that came back isn't what the caller asked for.
    case decoding(column: String, reason: String)
    /// A value can't be sent: text with a NUL, a value whose JSON encoding failed, a date out of range.
    case encoding(String)
    /// The pool was closed, or a transaction was used after its end.
    case closed
}

extension PostgresError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .server(let sqlState, let message, _, let constraint):
            let suffix = constraint.map { " (constraint \($0))" } ?? ""
            return "PostgreSQL \(sqlState): \(message)\(suffix)"
        case .connection(let reason): return "no connection to PostgreSQL: \(reason)"
        case .commitOutcomeUnknown(let reason): return "lost PostgreSQL while committing: \(reason)"
        case .poolExhausted: return "no free PostgreSQL connection within the wait limit"
        case .timedOut: return "PostgreSQL did not answer in time"
        case .cancelled: return "cancelled while waiting for PostgreSQL"
        case .decoding(let column, let reason): return "column \(column): \(reason)"
        case .encoding(let reason): return "value not accepted by PostgreSQL: \(reason)"
        case .closed: return "the PostgreSQL pool or transaction is closed"
        }
    }
}

extension PostgresError: PassingError {
    package var isPassing: Bool { isTransient }
}

extension PostgresError {
    /// The server's code, for errors that have one.
    package var sqlState: SQLState? {
        guard case .server(let sqlState, _, _, _) = self else { return nil }
        return sqlState
    }

    /// The name of the constraint that refused the data, where one did.
    package var constraint: String? {
        guard case .server(_, _, _, let constraint) = self else { return nil }
        return constraint
    }

    /// The same call may succeed later without anybody changing anything. What was in flight may have taken effect,
    /// so only idempotent work may be repeated on this alone.
    package var isTransient: Bool {
        switch self {
        case .connection, .commitOutcomeUnknown, .poolExhausted, .timedOut: true
        case .cancelled, .decoding, .encoding, .closed: false
        case .server(let state, _, _, _):
            state.isSerializationConflict || state.endsSession || state.category == "53" || state == .lockNotAvailable
        }
    }
}
