package import CloudModel
package import FoundationEssentials
import PostgresClient
package import Primitives

extension PostgresNetworkStore {
    package func defaultGroup(
        of project: ProjectID, ids: any IDSource, now: Date
    ) async throws -> SecurityGroup {
        let known = try await readGroups(["g.project_id = \(project.text)", "g.is_default"])
        if let group = known.first { return group }
        return try await pool.transaction { transaction in
            try await Self.ensureDefaultGroup(of: project, ids: ids, now: now, in: transaction)
        }
    }

    /// Two that make it at the same time end with one group: the second waits and reads the first's.
    static func ensureDefaultGroup(
        of project: ProjectID, ids: any IDSource, now: Date, in transaction: PostgresTransaction
    ) async throws -> SecurityGroup {
        let group = SecurityGroup.projectDefault(projectID: project, ids: ids, now: now)
        let inserted = try await transaction.execute(
            """
            insert into network.groups (id, project_id, name, description, is_default, created_at, updated_at, revision)
            values (\(group.id), \(project.text), \(group.name), \(group.description), true, \(now), \(now), 0)
            on conflict (project_id) where is_default do nothing
            """)
        if inserted > 0 {
            _ = try await transaction.pipeline(group.rules.map(insertion))
            return group
        }
        let rows = try await transaction.pipeline(
            groupStatements(["g.project_id = \(project.text)", "g.is_default"]))
        guard let found = try SecurityGroup.assemble(rows[0], rows[1]).first else {
            throw NetworkError.groupNotFound(SecurityGroup.defaultName)
        }
        return found
    }

    package func groups(visibleTo project: ProjectID?, ids: [SecurityGroupID]?) async throws -> [SecurityGroup] {
        var conditions: [Statement] = []
        if let project { conditions.append("g.project_id = \(project.text)") }
        if let ids { conditions.append("g.id = any(\(ids))") }
        return try await readGroups(conditions)
    }

    private func readGroups(_ conditions: [Statement]) async throws -> [SecurityGroup] {
        let rows = try await pool.pipeline(Self.groupStatements(conditions))
        return try SecurityGroup.assemble(rows[0], rows[1])
    }

    /// Two statements: groups, then their rules.
    static func groupStatements(_ conditions: [Statement]) -> [Statement] {
        let filter = filter(conditions)
        return [
            "select \(raw: SecurityGroup.columns) from network.groups g\(fragment: filter) order by g.created_at, g.id",
            """
            select \(raw: SecurityGroupRule.columns) from network.rules r join network.groups g on g.id = r.group_id
            \(fragment: filter) order by r.created_at, r.id
            """,
        ]
    }

    package func insert(_ group: SecurityGroup) async throws -> SecurityGroup {
        try await pool.transaction { transaction in
            try await checkQuota(.securityGroup, of: group.projectID, in: transaction)
            try await transaction.execute(
                """
                insert into network.groups (id, project_id, name, description, is_default, created_at, updated_at,
                    revision)
                values (\(group.id), \(group.projectID.text), \(group.name), \(group.description), \(group.isDefault),
                    \(group.createdAt), \(group.updatedAt), \(group.revision))
                """)
            _ = try await transaction.pipeline(group.rules.map(Self.insertion))
            return group
        }
    }

    package func update(
        _ id: SecurityGroupID, name: String?, description: String?, now: Date
    ) async throws -> SecurityGroup {
        let changed = try await pool.execute(
            """
            update network.groups set name = coalesce(\(name)::text, name),
                description = coalesce(\(description)::text, description), updated_at = \(now), revision = revision + 1
            where id = \(id)
            """)
        guard changed > 0, let group = try await groups(visibleTo: nil, ids: [id]).first else {
            throw NetworkError.groupNotFound(id.description)
        }
        return group
    }

    package func deleteGroup(_ id: SecurityGroupID) async throws {
        try await pool.transaction { transaction in
            let rows = try await transaction.query(
                """
                select g.is_default, exists (select 1 from network.ports p where \(id) = any(p.group_ids)) as is_used
                from network.groups g where g.id = \(id) for update of g
                """)
            guard let row = rows.first else { throw NetworkError.groupNotFound(id.description) }
            if try row.get("is_default", as: Bool.self) { throw NetworkError.defaultGroup }
            if try row.get("is_used", as: Bool.self) { throw NetworkError.groupInUse(id) }
            try await transaction.execute("delete from network.groups where id = \(id)")
        }
    }

    // MARK: Rules

    package func insert(_ rule: SecurityGroupRule) async throws -> SecurityGroupRule {
        try await pool.transaction { transaction in
            try await checkQuota(.securityGroupRule, of: rule.projectID, in: transaction)
            let locked = try await transaction.execute(
                "select id from network.groups where id = \(rule.groupID) for update")
            guard locked > 0 else { throw NetworkError.groupNotFound(rule.groupID.description) }
            let others = try await transaction.query(
                "select \(raw: SecurityGroupRule.columns) from network.rules r where r.group_id = \(rule.groupID)")
            for other in try others.map({ try SecurityGroupRule($0) }) where other.isSameRule(as: rule) {
                throw NetworkError.ruleExists(other.id)
            }
            try await transaction.execute(Self.insertion(rule))
            return rule
        }
    }

    package func deleteRule(_ id: SecurityRuleID) async throws {
        guard try await pool.execute("delete from network.rules where id = \(id)") > 0 else {
            throw NetworkError.ruleNotFound(id)
        }
    }

    static func insertion(_ rule: SecurityGroupRule) -> Statement {
        """
        insert into network.rules (id, group_id, project_id, direction, ether_type, ip_protocol, port_minimum,
            port_maximum, remote_prefix, remote_group_id, description, created_at)
        values (\(rule.id), \(rule.groupID), \(rule.projectID.text), \(rule.direction.rawValue), \(rule.etherType),
            \(rule.ipProtocol), \(rule.portMinimum), \(rule.portMaximum), \(rule.remotePrefix),
            \(rule.remoteGroupID), \(rule.description), \(rule.createdAt))
        """
    }
}
