package import CloudModel
import FoundationEssentials
package import PostgresClient

/// The compute API's own tables: flavors, key pairs, quotas, instance actions; one facet a port.
package struct PostgresComputeStore: Sendable {
    let pool: PostgresPool

    package init(pool: PostgresPool) { self.pool = pool }
}

extension PostgresComputeStore: FlavorStore {
    package func all() async throws -> [FlavorRecord] {
        try await pool.query("select flavor, projects, created_at from api.flavors").map(Self.record)
    }

    package func find(id: String) async throws -> FlavorRecord? {
        try await pool.query("select flavor, projects, created_at from api.flavors where id = \(id)").first
            .map(Self.record)
    }

    package func insert(_ record: FlavorRecord) async throws {
        do {
            _ = try await pool.execute(
                """
                insert into api.flavors (id, name, flavor, projects, created_at)
                values (\(record.flavor.id), \(record.flavor.name), \(PostgresJSON(record.flavor)),
                    \(record.projects.map(\.text)), \(record.createdAt))
                """)
        } catch {
            guard error.sqlState == .uniqueViolation else { throw error }
            throw error.constraint == "flavors_name" ? FlavorStoreError.nameTaken : FlavorStoreError.idTaken
        }
    }

    package func setDescription(_ description: String?, of id: String) async throws -> FlavorRecord? {
        try await change(id) { $0.flavor.description = description }
    }

    package func delete(id: String) async throws -> Bool {
        try await pool.execute("delete from api.flavors where id = \(id)") > 0
    }

    package func changeExtraSpecs(
        of id: String, setting: [String: String], removing: [String]
    ) async throws -> FlavorRecord? {
        try await change(id) { record in
            record.flavor.extraSpecs.merge(setting) { _, new in new }
            for key in removing { record.flavor.extraSpecs[key] = nil }
        }
    }

    package func grantAccess(to project: ProjectID, of id: String) async throws {
        _ = try await change(id) { record in
            guard !record.projects.contains(project) else { throw FlavorStoreError.accessExists }
            record.projects.append(project)
        }
    }

    package func revokeAccess(of project: ProjectID, to id: String) async throws {
        _ = try await change(id) { record in
            guard record.projects.contains(project) else { throw FlavorStoreError.accessMissing }
            record.projects.removeAll { $0 == project }
        }
    }

    private func change(_ id: String, _ body: (inout FlavorRecord) throws -> Void) async throws -> FlavorRecord? {
        try await pool.transaction { transaction in
            let rows = try await transaction.query(
                "select flavor, projects, created_at from api.flavors where id = \(id) for update")
            guard let row = rows.first else { return nil }
            var record = try Self.record(row)
            try body(&record)
            try await transaction.execute(
                """
                update api.flavors set flavor = \(PostgresJSON(record.flavor)),
                    projects = \(record.projects.map(\.text))
                where id = \(id)
                """)
            return record
        }
    }

    private static func record(_ row: Row) throws -> FlavorRecord {
        let projects: [String] = try row.get("projects")
        return FlavorRecord(
            flavor: try row.json("flavor"), projects: projects.map { ProjectID($0) },
            createdAt: try row.get("created_at"))
    }
}

extension PostgresComputeStore: KeyPairStore {
    package func all(of user: UserID) async throws -> [KeyPair] {
        try await pool.query("select * from api.key_pairs where user_id = \(user.text) order by name").map(Self.pair)
    }

    package func find(_ name: String, of user: UserID) async throws -> KeyPair? {
        try await pool.query("select * from api.key_pairs where user_id = \(user.text) and name = \(name)").first
            .map(Self.pair)
    }

    package func insert(_ pair: KeyPair, limit: Int) async throws -> KeyPair {
        try await pool.transaction { transaction in
            _ = try await transaction.query(
                "select pg_advisory_xact_lock(hashtextextended(\("key pairs " + pair.userID.text), 0))")
            let names: [String] = try await transaction.query(
                "select name from api.key_pairs where user_id = \(pair.userID.text)"
            ).column()
            if names.contains(pair.name) { throw KeyPairExists() }
            if limit >= 0, names.count >= limit {
                throw QuotaExceeded(resource: "key_pairs", requested: 1, used: names.count, limit: limit)
            }
            let id: Int64? = try await transaction.query(
                """
                insert into api.key_pairs (user_id, name, kind, public_key, fingerprint, created_at)
                values (\(pair.userID.text), \(pair.name), \(pair.kind.rawValue), \(pair.publicKey),
                    \(pair.fingerprint), \(pair.createdAt))
                returning id
                """
            ).scalar()
            var stored = pair
            stored.id = id ?? 0
            return stored
        }
    }

    package func delete(_ name: String, of user: UserID) async throws -> Bool {
        try await pool.execute("delete from api.key_pairs where user_id = \(user.text) and name = \(name)") > 0
    }

    private static func pair(_ row: Row) throws -> KeyPair {
        KeyPair(
            id: try row.get("id"), userID: UserID(try row.get("user_id")), name: try row.get("name"),
            kind: KeyPair.Kind(rawValue: try row.get("kind")) ?? .ssh, publicKey: try row.get("public_key"),
            fingerprint: try row.get("fingerprint"), createdAt: try row.get("created_at"))
    }
}

extension PostgresComputeStore: InstanceActionStore {
    package func record(_ actions: [InstanceActionRecord]) async throws {
        _ = try await pool.pipeline(
            actions.map { action in
                """
                insert into api.instance_actions (server_id, record) values (\(action.serverID), \(PostgresJSON(action)))
                """
            })
    }

    package func actions(of server: ServerID) async throws -> [InstanceActionRecord] {
        try await pool.query(
            "select record from api.instance_actions where server_id = \(server) order by id desc limit 1000"
        ).map { try $0.json("record") }
    }

    package func attempts(of server: ServerID) async throws -> [PlacementAttempt] {
        try await pool.query(
            """
            select cell, host, placed_at, failure, failed_at from directory.placements
            where instance_id = \(server) order by epoch
            """
        ).map { row in
            PlacementAttempt(
                cell: try PostgresRootStore.cell(row.get("cell")), host: HostName(try row.get("host")),
                placedAt: try row.get("placed_at"), failure: try row.get("failure"), failedAt: try row.get("failed_at"))
        }
    }
}
