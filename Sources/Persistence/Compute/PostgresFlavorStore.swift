package import CloudModel
import FoundationEssentials
package import PostgresClient

/// Flavors in `api.flavors`.
package struct PostgresFlavorStore: FlavorStore {
    private static let columns = "flavor, projects, created_at"

    private let pool: PostgresPool

    package init(pool: PostgresPool) { self.pool = pool }

    package func all() async throws -> [FlavorRecord] {
        try await pool.query("select \(raw: Self.columns) from api.flavors order by id").map(Self.record)
    }

    package func find(id: String) async throws -> FlavorRecord? {
        try await pool.query("select \(raw: Self.columns) from api.flavors where id = \(id)").first.map(Self.record)
    }

    package func insert(_ record: FlavorRecord) async throws {
        let flavor = record.flavor
        do throws(PostgresError) {
            _ = try await pool.execute(
                """
                insert into api.flavors (id, name, flavor, projects, created_at)
                values (\(flavor.id), \(flavor.name), \(PostgresJSON(flavor)), \(record.projects.map(\.text)),
                    \(record.createdAt))
                """)
        } catch {
            guard error.sqlState == .uniqueViolation else { throw error }
            let isName = error.constraint == "flavors_name"
            throw isName ? FlavorStoreError.nameTaken : FlavorStoreError.idTaken
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
            for key in removing { record.flavor.extraSpecs[key] = nil }
            record.flavor.extraSpecs.merge(setting) { _, new in new }
        }
    }

    package func grantAccess(to project: ProjectID, of id: String) async throws {
        let changed = try await pool.execute(
            """
            update api.flavors set projects = array_append(projects, \(project.text)::text)
            where id = \(id) and not \(project.text)::text = any(projects)
            """)
        if changed == 0 { throw FlavorStoreError.accessExists }
    }

    package func revokeAccess(of project: ProjectID, to id: String) async throws {
        let changed = try await pool.execute(
            """
            update api.flavors set projects = array_remove(projects, \(project.text)::text)
            where id = \(id) and \(project.text)::text = any(projects)
            """)
        if changed == 0 { throw FlavorStoreError.accessMissing }
    }

    private func change(
        _ id: String, _ body: @Sendable (inout FlavorRecord) -> Void
    ) async throws -> FlavorRecord? {
        try await pool.transaction { transaction in
            let rows = try await transaction.query(
                "select \(raw: Self.columns) from api.flavors where id = \(id) for update")
            guard var record = try rows.first.map(Self.record) else { return nil }
            body(&record)
            try await transaction.execute(
                "update api.flavors set flavor = \(PostgresJSON(record.flavor)) where id = \(id)")
            return record
        }
    }

    private static func record(_ row: Row) throws -> FlavorRecord {
        FlavorRecord(
            flavor: try row.json("flavor"), projects: try row.get("projects", as: [String].self).map { ProjectID($0) },
            createdAt: try row.get("created_at"))
    }
}
