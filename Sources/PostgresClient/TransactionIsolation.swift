/// What a transaction sees of others that run beside it.
package enum TransactionIsolation: Sendable, Equatable {
    case readCommitted
    case repeatableRead
    case serializable

    var begin: Statement {
        switch self {
        case .readCommitted: Statement(raw: "begin isolation level read committed").once
        case .repeatableRead: Statement(raw: "begin isolation level repeatable read").once
        case .serializable: Statement(raw: "begin isolation level serializable").once
        }
    }
}

// Not kept prepared: a failed transaction refuses the DEALLOCATE that preparing may bring along.
extension Statement {
    static let commit = Statement(raw: "commit").once
    static let rollback = Statement(raw: "rollback").once
}
