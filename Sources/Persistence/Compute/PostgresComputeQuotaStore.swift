package import CloudModel
package import PostgresClient

/// Compute quotas that differ from the standard ones, in `api.quotas`.
package struct PostgresComputeQuotaStore: ComputeQuotaStore {
    private let pool: PostgresPool

    package init(pool: PostgresPool) { self.pool = pool }

    package func quota(of project: ProjectID) async throws -> ComputeQuota {
        let rows = try await pool.query("select quota from api.quotas where project_id = \(project.text)")
        return try rows.first?.json("quota") ?? .standard
    }

    package func set(_ quota: ComputeQuota, of project: ProjectID) async throws {
        _ = try await pool.execute(
            """
            insert into api.quotas (project_id, quota) values (\(project.text), \(PostgresJSON(quota)))
            on conflict (project_id) do update set quota = excluded.quota
            """)
    }

    package func reset(_ project: ProjectID) async throws {
        _ = try await pool.execute("delete from api.quotas where project_id = \(project.text)")
    }
}
