package import CloudModel
import FoundationEssentials
import PostgresClient

extension PostgresComputeStore: ComputeQuotaStore {
    package func quota(of project: ProjectID) async throws -> ComputeQuota {
        try await limits(of: project, user: nil).project
    }

    package func quota(of project: ProjectID, user: UserID) async throws -> ComputeQuota? {
        try await limits(of: project, user: user).user
    }

    private func limits(
        of project: ProjectID, user: UserID?
    ) async throws -> (project: ComputeQuota, user: ComputeQuota?) {
        let rows = try await pool.query(
            """
            select (select limits from api.quota_classes where name = \(Self.defaultClass)) as class_limits,
                (select quota from api.quotas where project_id = \(project.text)) as project_limits,
                (select limits from api.user_quotas
                    where project_id = \(project.text) and user_id = \(user?.text)) as user_limits
            """)
        guard let row = rows.first else { return (.standard, nil) }
        func limits(_ column: String) throws -> QuotaLimits? {
            try row.isNull(column) ? nil : try row.json(column, as: QuotaLimits.self)
        }
        let defaults = try limits("class_limits")?.over(.standard) ?? .standard
        let quota = try limits("project_limits")?.over(defaults) ?? defaults
        return (quota, try limits("user_limits")?.over(quota))
    }

    package func set(_ limits: QuotaLimits, of project: ProjectID, user: UserID?) async throws {
        guard let user else {
            _ = try await pool.execute(
                """
                insert into api.quotas as q (project_id, quota) values (\(project.text), \(PostgresJSON(limits)))
                on conflict (project_id) do update set quota = \(raw: Self.merged("q.quota", "excluded.quota"))
                """)
            return
        }
        _ = try await pool.execute(
            """
            insert into api.user_quotas as q (project_id, user_id, limits)
            values (\(project.text), \(user.text), \(PostgresJSON(limits)))
            on conflict (project_id, user_id) do update set limits = \(raw: Self.merged("q.limits", "excluded.limits"))
            """)
    }

    /// What is set of `new` over `old`; the retired ones each by itself, too.
    private static func merged(_ old: String, _ new: String) -> String {
        let retired = "coalesce(\(old) -> 'retired', '{}') || coalesce(\(new) -> 'retired', '{}')"
        return "\(old) || \(new) || jsonb_build_object('retired', \(retired))"
    }

    package func reset(_ project: ProjectID, user: UserID?) async throws {
        let users: Statement = """
            delete from api.user_quotas
            where project_id = \(project.text) and (\(user?.text)::text is null or user_id = \(user?.text)::text)
            """
        guard user == nil else {
            _ = try await pool.execute(users)
            return
        }
        _ = try await pool.pipelineTransaction(
            [users, "delete from api.quotas where project_id = \(project.text)"])
    }

    package func defaults() async throws -> ComputeQuota { try await quotaClass(Self.defaultClass) }

    package func quotaClass(_ name: String) async throws -> ComputeQuota {
        let rows = try await pool.query("select limits from api.quota_classes where name = \(name)")
        return try rows.first?.json("limits", as: QuotaLimits.self).over(.standard) ?? .standard
    }

    package func set(_ limits: QuotaLimits, ofClass name: String) async throws {
        _ = try await pool.execute(
            """
            insert into api.quota_classes as q (name, limits) values (\(name), \(PostgresJSON(limits)))
            on conflict (name) do update set limits = \(raw: Self.merged("q.limits", "excluded.limits"))
            """)
    }
}
