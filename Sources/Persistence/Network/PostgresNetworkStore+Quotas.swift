package import CloudModel
import PostgresClient
import Primitives

extension PostgresNetworkStore {
    package func quota(of project: ProjectID) async throws -> NetworkQuota {
        Self.quota(try await pool.query(Self.quotaQuery(project)))
    }

    package func setQuota(_ quota: NetworkQuota, of project: ProjectID) async throws {
        guard !quota.overrides.isEmpty else {
            _ = try await pool.execute("delete from network.quotas where project_id = \(project.text)")
            return
        }
        let limits = Dictionary(quota.overrides.map { ($0.key.rawValue, $0.value) }, uniquingKeysWith: { $1 })
        _ = try await pool.execute(
            """
            insert into network.quotas (project_id, limits) values (\(project.text), \(PostgresJSON(limits)))
            on conflict (project_id) do update set limits = excluded.limits
            """)
    }

    package func usage(of project: ProjectID) async throws -> [NetworkResource: Int] {
        let resources = NetworkResource.allCases.filter { Self.table($0) != nil }
        let rows = try await pool.pipeline(resources.compactMap { Self.count($0, project) })
        var usage: [NetworkResource: Int] = [:]
        for (resource, row) in zip(resources, rows) { usage[resource] = try row.scalar(as: Int.self) ?? 0 }
        return usage
    }

    /// One request of a project at a time counts and adds, so the limit holds under any number of API replicas.
    /// - Throws: ``NetworkError/overQuota(_:)``.
    func checkQuota(
        _ resource: NetworkResource, of project: ProjectID, adding added: Int = 1, in transaction: PostgresTransaction
    ) async throws {
        guard added > 0, let count = Self.count(resource, project) else { return }
        let rows = try await transaction.pipeline([Self.lock(project), Self.quotaQuery(project), count])
        try Self.quota(rows[1]).check(resource, used: try rows[2].scalar(as: Int.self) ?? 0, added: added)
    }

    static func lock(_ project: ProjectID) -> Statement {
        "select pg_advisory_xact_lock(hashtextextended(\("network quota " + project.text), 0))"
    }

    static func quotaQuery(_ project: ProjectID) -> Statement {
        "select limits from network.quotas where project_id = \(project.text)"
    }

    /// Limits of resources that this version does not know are left out.
    static func quota(_ rows: Rows) -> NetworkQuota {
        guard let limits = rows.first.flatMap({ row in try? row.json("limits", as: [String: Int].self) }) else {
            // No row, or nothing readable in it: the standard limits hold.
            return NetworkQuota()
        }
        let known = limits.compactMap { name, limit in NetworkResource(rawValue: name).map { ($0, limit) } }
        return NetworkQuota(overrides: Dictionary(known, uniquingKeysWith: { $1 }))
    }

    static func count(_ resource: NetworkResource, _ project: ProjectID) -> Statement? {
        table(resource).map { "select count(*) from network.\(raw: $0) where project_id = \(project.text)" }
    }

    private static func table(_ resource: NetworkResource) -> String? {
        switch resource {
        case .network: "networks"
        case .subnet: "subnets"
        case .port: "ports"
        case .securityGroup: "groups"
        case .securityGroupRule: "rules"
        case .router, .floatingIP, .subnetPool, .rbacPolicy: nil
        }
    }
}
