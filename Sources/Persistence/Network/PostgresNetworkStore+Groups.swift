package import CloudModel
package import FoundationEssentials
import PostgresClient
package import Primitives

extension PostgresNetworkStore {
    package func defaultGroup(
        of project: ProjectID, ids: any IDSource, now: Date
    ) async throws -> SecurityGroup {
        try await pool.transaction { transaction in
            try await Self.defaultGroup(of: project, ids: ids, now: now, in: transaction)
        }
    }

    package func groups(visibleTo project: ProjectID?, ids: [SecurityGroupID]?) async throws -> [SecurityGroup] {
        let groups = try await pool.transaction { transaction in try await Self.groups(of: project, in: transaction) }
        guard let ids else { return groups }
        return groups.filter { ids.contains($0.id) }
    }

    package func insert(_ group: SecurityGroup) async throws -> SecurityGroup {
        try await pool.transaction { transaction in
            try await Self.checkQuota(.securityGroup, of: group.projectID, in: transaction)
            if group.name == SecurityGroup.defaultName, !group.isDefault { throw NetworkError.defaultGroupExists }
            try await Self.write(group, in: transaction)
            return group
        }
    }

    package func update(
        _ id: SecurityGroupID, name: String?, description: String?, now: Date
    ) async throws -> SecurityGroup {
        try await pool.transaction { transaction in
            guard let group = try await Self.group(id, in: transaction) else {
                throw NetworkError.groupNotFound(id.description)
            }
            if let name, name != group.name, group.isDefault { throw NetworkError.defaultGroup }
            try await transaction.execute(
                """
                update network.groups set name = \(name ?? group.name),
                    description = \(description ?? group.description), updated_at = \(now), revision = revision + 1
                where id = \(id)
                """)
            guard let changed = try await Self.group(id, in: transaction) else {
                throw NetworkError.groupNotFound(id.description)
            }
            return changed
        }
    }

    package func deleteGroup(_ id: SecurityGroupID) async throws {
        try await pool.transaction { transaction in
            guard let group = try await Self.group(id, in: transaction) else {
                throw NetworkError.groupNotFound(id.description)
            }
            guard !group.isDefault else { throw NetworkError.defaultGroup }
            let ports: Int? = try await transaction.query(
                "select count(*) from network.ports where \(id) = any(group_ids)"
            ).scalar()
            guard ports == 0 else { throw NetworkError.groupInUse(id) }
            try await transaction.execute("delete from network.groups where id = \(id)")
        }
    }

    package func insert(_ rule: SecurityGroupRule) async throws -> SecurityGroupRule {
        try await pool.transaction { transaction in
            guard let group = try await Self.group(rule.groupID, in: transaction) else {
                throw NetworkError.groupNotFound(rule.groupID.description)
            }
            if let remote = rule.remoteGroupID, try await Self.group(remote, in: transaction) == nil {
                throw NetworkError.groupNotFound(remote.description)
            }
            if let same = group.rules.first(where: { $0.isSameRule(as: rule) }) {
                throw NetworkError.ruleExists(same.id)
            }
            try await Self.checkQuota(.securityGroupRule, of: rule.projectID, in: transaction)
            try await transaction.execute(Self.insertion(of: rule))
            return rule
        }
    }

    package func deleteRule(_ id: SecurityRuleID) async throws {
        let deleted = try await pool.execute("delete from network.rules where id = \(id)")
        guard deleted > 0 else { throw NetworkError.ruleNotFound(id) }
    }

    // MARK: Inside a transaction

    static func defaultGroup(
        of project: ProjectID, ids: any IDSource, now: Date, in transaction: PostgresTransaction
    ) async throws -> SecurityGroup {
        if let group = try await groups(of: project, in: transaction).first(where: \.isDefault) { return group }
        // Two first requests of a project at once: one makes it, the other waits here and then finds it.
        _ = try await transaction.query(
            "select pg_advisory_xact_lock(hashtextextended(\("default group " + project.text), 0))")
        if let group = try await groups(of: project, in: transaction).first(where: \.isDefault) { return group }
        let group = SecurityGroup.projectDefault(projectID: project, ids: ids, now: now)
        try await write(group, in: transaction)
        return group
    }

    static func groups(of project: ProjectID?, in transaction: PostgresTransaction) async throws -> [SecurityGroup] {
        let condition: Statement = project.map { "where project_id = \($0.text)" } ?? ""
        let rules = try await transaction.query(
            """
            select * from network.rules where group_id in (select id from network.groups \(fragment: condition))
            order by created_at, id
            """
        ).map(NetworkRows.rule)
        let byGroup = Dictionary(grouping: rules, by: \.groupID)
        return try await transaction.query(
            "select * from network.groups \(fragment: condition) order by created_at, id"
        ).map { row in try NetworkRows.group(row, rules: byGroup[try row.get("id")] ?? []) }
    }

    private static func group(
        _ id: SecurityGroupID, in transaction: PostgresTransaction
    ) async throws -> SecurityGroup? {
        let rows = try await transaction.query("select * from network.groups where id = \(id) for update")
        guard let row = rows.first else { return nil }
        let rules = try await transaction.query(
            "select * from network.rules where group_id = \(id) order by created_at, id"
        ).map(NetworkRows.rule)
        return try NetworkRows.group(row, rules: rules)
    }

    private static func write(_ group: SecurityGroup, in transaction: PostgresTransaction) async throws {
        let row: Statement = """
            insert into network.groups (id, project_id, name, description, is_default, created_at, updated_at, revision)
            values (\(group.id), \(group.projectID.text), \(group.name), \(group.description), \(group.isDefault),
                \(group.createdAt), \(group.updatedAt), \(group.revision))
            """
        _ = try await transaction.pipeline([row] + group.rules.map(insertion))
    }

    private static func insertion(of rule: SecurityGroupRule) -> Statement {
        """
        insert into network.rules (id, group_id, project_id, direction, ether_type, ip_protocol, port_minimum,
            port_maximum, remote_prefix, remote_group_id, description, created_at)
        values (\(rule.id), \(rule.groupID), \(rule.projectID.text), \(rule.direction.rawValue), \(rule.etherType),
            \(rule.ipProtocol), \(rule.portMinimum), \(rule.portMaximum), \(rule.remotePrefix), \(rule.remoteGroupID),
            \(rule.description), \(rule.createdAt))
        """
    }
}
