package import CloudModel
import FoundationEssentials
package import PostgresClient

/// Key pairs in `api.key_pairs`.
package struct PostgresKeyPairStore: KeyPairStore {
    private static let columns = "id, user_id, name, kind, public_key, fingerprint, created_at"

    private let pool: PostgresPool

    package init(pool: PostgresPool) { self.pool = pool }

    package func all(of user: UserID) async throws -> [KeyPair] {
        try await pool.query(
            """
            select \(raw: Self.columns) from api.key_pairs where user_id = \(user.text) order by name collate "C"
            """
        ).map(Self.pair)
    }

    package func find(_ name: String, of user: UserID) async throws -> KeyPair? {
        try await pool.query(
            "select \(raw: Self.columns) from api.key_pairs where user_id = \(user.text) and name = \(name)"
        ).first.map(Self.pair)
    }

    package func insert(_ pair: KeyPair, limit: Int) async throws -> KeyPair {
        try await pool.transaction { transaction in
            // One request of a user at a time counts and adds.
            let rows = try await transaction.pipeline([
                "select pg_advisory_xact_lock(hashtextextended(\("key pairs " + pair.userID.text), 0))",
                "select count(*) from api.key_pairs where user_id = \(pair.userID.text)",
            ])
            let used = try rows[1].scalar(as: Int.self) ?? 0
            let inserted = try await transaction.query(
                """
                insert into api.key_pairs (user_id, name, kind, public_key, fingerprint, created_at)
                values (\(pair.userID.text), \(pair.name), \(pair.kind.rawValue), \(pair.publicKey),
                    \(pair.fingerprint), \(pair.createdAt))
                on conflict on constraint key_pairs_name do nothing returning id
                """)
            guard let id: Int64 = try inserted.scalar() else { throw KeyPairExists() }
            if limit >= 0, used + 1 > limit {
                throw QuotaExceeded(resource: "key_pairs", requested: 1, used: used, limit: limit)
            }
            var stored = pair
            stored.id = id
            return stored
        }
    }

    package func delete(_ name: String, of user: UserID) async throws -> Bool {
        try await pool.execute(
            "delete from api.key_pairs where user_id = \(user.text) and name = \(name)") > 0
    }

    private static func pair(_ row: Row) throws -> KeyPair {
        KeyPair(
            id: try row.get("id"), userID: UserID(try row.get("user_id", as: String.self)), name: try row.get("name"),
            kind: KeyPair.Kind(rawValue: try row.get("kind")) ?? .ssh, publicKey: try row.get("public_key"),
            fingerprint: try row.get("fingerprint"), createdAt: try row.get("created_at"))
    }
}
