import CloudModel
import FoundationEssentials
package import PostgresClient
import Primitives

/// Identity in PostgreSQL. Its tables are made by ``IdentitySchema``.
package struct PostgresIdentityRepository: Sendable {
    /// Where replicas tell each other of revocations.
    static let channel = "identity_revocations"

    let pool: PostgresPool

    package init(pool: PostgresPool) { self.pool = pool }

    func query(_ statement: Statement) async throws(IdentityStoreError) -> Rows {
        do {
            return try await pool.query(statement)
        } catch {
            throw Self.error(error)
        }
    }

    /// Runs one statement, whether anything was changed by it.
    func execute(_ statement: Statement) async throws(IdentityStoreError) -> Bool {
        try await query(statement).affected > 0
    }

    /// A change and the revocation that belongs to it, both or none. Whether the change found anything.
    func change(
        _ statement: Statement, revoking revocation: TokenRevocation?
    ) async throws(IdentityStoreError) -> Bool {
        guard let revocation else { return try await execute(statement) }
        do {
            let answers = try await pool.pipelineTransaction([statement] + Self.insertion(of: revocation))
            return answers.first.map { $0.affected > 0 } ?? false
        } catch {
            throw Self.error(error)
        }
    }

    func rows<Value>(
        _ statement: Statement, _ decode: (Row) throws(PostgresError) -> Value
    ) async throws(IdentityStoreError) -> [Value] {
        let found = try await query(statement)
        var values: [Value] = []
        do {
            for row in found { values.append(try decode(row)) }
        } catch {
            throw Self.error(error)
        }
        return values
    }

    static func error(_ error: PostgresError) -> IdentityStoreError {
        switch error {
        case .server(.uniqueViolation, _, _, _): .duplicate
        case .server(.foreignKeyViolation, _, _, _): .dangling
        case .encoding: .invalidText
        case .server("22P05", _, _, _): .invalidText  // a NUL inside JSON
        default: .unavailable("\(error)")
        }
    }

    static func filter(_ filter: AccountFilter) -> Statement {
        var conditions: [Statement] = ["true"]
        if let name = filter.name { conditions.append("name = \(name)") }
        if let domain = filter.domainID { conditions.append("domain_id = \(domain.text)") }
        if let isEnabled = filter.isEnabled { conditions.append("enabled = \(isEnabled)") }
        return .joined(conditions, separator: " and ")
    }

    static func json(_ members: [String: JSONValue]) -> PostgresJSON {
        PostgresJSON(text: JSONValue.object(members).text)
    }

    static func members(_ row: Row, _ column: String) throws(PostgresError) -> [String: JSONValue] {
        let text: String = try row.get(column)
        do {
            return try JSONParser.parse(text).object ?? [:]
        } catch {
            throw .decoding(column: column, reason: "\(error)")
        }
    }
}
