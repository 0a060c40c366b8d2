/// PostgreSQL's five-character error code.
package struct SQLState: RawRepresentable, Hashable, Sendable, ExpressibleByStringLiteral, CustomStringConvertible {
    package let rawValue: String

    package init(rawValue: String) { self.rawValue = rawValue }
    package init(stringLiteral value: String) { rawValue = value }

    /// The first two characters: the class of the condition.
    package var category: String { String(rawValue.prefix(2)) }
    package var description: String { rawValue }
}

extension SQLState {
    package static let featureNotSupported: SQLState = "0A000"
    package static let invalidTextRepresentation: SQLState = "22P02"
    package static let notNullViolation: SQLState = "23502"
    package static let foreignKeyViolation: SQLState = "23503"
    package static let uniqueViolation: SQLState = "23505"
    package static let checkViolation: SQLState = "23514"
    package static let exclusionViolation: SQLState = "23P01"
    package static let inFailedTransaction: SQLState = "25P02"
    package static let invalidStatementName: SQLState = "26000"
    package static let invalidAuthorization: SQLState = "28000"
    package static let invalidPassword: SQLState = "28P01"
    package static let undefinedDatabase: SQLState = "3D000"
    package static let serializationFailure: SQLState = "40001"
    package static let deadlock: SQLState = "40P01"
    package static let insufficientPrivilege: SQLState = "42501"
    package static let syntaxError: SQLState = "42601"
    package static let undefinedColumn: SQLState = "42703"
    package static let duplicateDatabase: SQLState = "42P04"
    package static let undefinedTable: SQLState = "42P01"
    package static let duplicateTable: SQLState = "42P07"
    package static let diskFull: SQLState = "53100"
    package static let outOfMemory: SQLState = "53200"
    package static let tooManyConnections: SQLState = "53300"
    package static let lockNotAvailable: SQLState = "55P03"
    package static let queryCancelled: SQLState = "57014"
    package static let adminShutdown: SQLState = "57P01"
    package static let crashShutdown: SQLState = "57P02"
    package static let cannotConnectNow: SQLState = "57P03"
    package static let idleSessionTimeout: SQLState = "57P05"
}

extension SQLState {
    /// The transaction lost against another one: the same transaction, run again from its start, may succeed.
    package var isSerializationConflict: Bool { self == .serializationFailure || self == .deadlock }

    /// The server ended the session or would not start one; a later one may work.
    package var endsSession: Bool {
        [.adminShutdown, .crashShutdown, .cannotConnectNow, .idleSessionTimeout].contains(self) || category == "08"
    }

    /// An integrity constraint refused the data (class 23).
    package var isConstraintViolation: Bool { category == "23" }
}
