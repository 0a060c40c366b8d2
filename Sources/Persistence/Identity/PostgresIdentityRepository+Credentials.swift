package import CloudModel
package import FoundationEssentials
import PostgresClient
import Primitives

extension PostgresIdentityRepository: ApplicationCredentialRepository {
    private static let columns = """
        id, user_id, project_id, name, secret_hash, role_ids, description, expires_at, unrestricted
        """

    package func applicationCredentials(
        user: UserID, name: String?
    ) async throws(IdentityStoreError) -> [ApplicationCredential] {
        var statement: Statement = """
            select \(raw: Self.columns) from identity.application_credentials where user_id = \(user.text)
            """
        if let name { statement.append(" and name = \(name)" as Statement) }
        statement.append(raw: " order by name limit \(identityListLimit)")
        return try await rows(statement, Self.credential)
    }

    package func applicationCredential(
        _ id: ApplicationCredentialID
    ) async throws(IdentityStoreError) -> ApplicationCredential? {
        try await rows(
            "select \(raw: Self.columns) from identity.application_credentials where id = \(id.text)", Self.credential
        ).first
    }

    package func insert(_ credential: ApplicationCredential) async throws(IdentityStoreError) {
        _ = try await execute(
            """
            insert into identity.application_credentials (\(raw: Self.columns))
            values (\(credential.id.text), \(credential.userID.text), \(credential.projectID.text),
                \(credential.name), \(credential.secretHash.reveal()), \(credential.roleIDs.map(\.text)),
                \(credential.description), \(credential.expiresAt), \(credential.isUnrestricted))
            """)
    }

    package func deleteApplicationCredential(
        _ id: ApplicationCredentialID, revoking: TokenRevocation
    ) async throws(IdentityStoreError) -> Bool {
        try await change(
            "delete from identity.application_credentials where id = \(id.text)", revoking: revoking)
    }

    private static func credential(_ row: Row) throws(PostgresError) -> ApplicationCredential {
        let roles: [String] = try row.get("role_ids")
        return ApplicationCredential(
            id: ApplicationCredentialID(try row.get("id")), name: try row.get("name"),
            userID: UserID(try row.get("user_id")), projectID: ProjectID(try row.get("project_id")),
            secretHash: Secret(try row.get("secret_hash")), roleIDs: roles.map { RoleID($0) },
            description: try row.get("description"), expiresAt: try row.get("expires_at"),
            isUnrestricted: try row.get("unrestricted"))
    }
}

extension PostgresIdentityRepository: RevocationRepository {
    package func add(_ revocation: TokenRevocation) async throws(IdentityStoreError) {
        do {
            _ = try await pool.pipelineTransaction(Self.insertion(of: revocation))
        } catch {
            throw Self.error(error)
        }
    }

    package func revocations(at time: Date) async throws(IdentityStoreError) -> [TokenRevocation] {
        try await rows(
            "select scope, issued_until, expires_at from identity.token_revocations where expires_at > \(time)"
        ) { row throws(PostgresError) in
            TokenRevocation(
                scope: try row.json("scope"), issuedUntil: try row.get("issued_until"),
                expiresAt: try row.get("expires_at"))
        }
    }

    package func watchRevocations(_ body: @Sendable (RevocationChange) async -> Void) async {
        for await element in pool.listen(channel: Self.channel) {
            switch element {
            case .listening, .reconnected: await body(.reload)
            case .notification(let notification):
                let payload = Data(notification.payload.utf8)
                let revocation = try? JSONDecoder().decode(TokenRevocation.self, from: payload)
                // What another version wrote and this one can't read is looked up instead.
                await body(revocation.map(RevocationChange.added) ?? .reload)
            }
        }
    }

    /// Stores it, tells all replicas, and forgets what has expired.
    static func insertion(of revocation: TokenRevocation) -> [Statement] {
        var payload = ""
        if let encoded = try? JSONEncoder().encode(revocation) { payload = String(decoding: encoded, as: UTF8.self) }
        return [
            "delete from identity.token_revocations where expires_at <= \(revocation.issuedUntil)",
            """
            insert into identity.token_revocations (scope, issued_until, expires_at)
            values (\(PostgresJSON(revocation.scope)), \(revocation.issuedUntil), \(revocation.expiresAt))
            """,
            "select pg_notify(\(channel), \(payload))",
        ]
    }
}
