package import CloudModel
import FoundationEssentials
import PlacementCore
import PostgresClient

extension PostgresRootStore: ServerGroupStore {
    package func groups(of project: ProjectID?, offset: Int, limit: Int) async throws -> [ServerGroup] {
        try await pool.query(
            """
            \(fragment: Self.groups) where (\(project?.text)::text is null or g.project_id = \(project?.text)::text)
            order by g.created_at, g.id offset \(offset) limit \(limit)
            """
        ).map(Self.group)
    }

    package func group(_ id: ServerGroupID) async throws -> ServerGroup? {
        try await pool.query("\(fragment: Self.groups) where g.id = \(id)").first.map(Self.group)
    }

    package func insert(_ group: ServerGroup, limit: Int, userLimit: Int?) async throws {
        try await pool.transaction { transaction in
            _ = try await transaction.query(Self.quotaLock(group.projectID))
            for (user, limit) in [(nil, limit), (group.userID, userLimit ?? -1)] where limit >= 0 {
                let used = try await transaction.query(Self.groupCount(of: group.projectID, user: user)).scalar() ?? 0
                guard used < limit else {
                    throw QuotaExceeded(resource: "server_groups", requested: 1, used: used, limit: limit)
                }
            }
            try await transaction.execute(
                """
                insert into scheduler.server_groups (id, project_id, user_id, name, policy, servers_per_host, created_at)
                values (\(group.id), \(group.projectID.text), \(group.userID.text), \(group.name),
                    \(group.policy.rawValue), \(group.serversPerHost), \(group.createdAt))
                """)
        }
    }

    package func deleteGroup(_ id: ServerGroupID) async throws -> Bool {
        try await pool.execute("delete from scheduler.server_groups where id = \(id)") > 0
    }

    package func groupCount(of project: ProjectID, user: UserID?) async throws -> Int {
        try await pool.query(Self.groupCount(of: project, user: user)).scalar() ?? 0
    }

    private static let groups: Statement = """
        select g.*, array(select m.instance_id from scheduler.group_members m where m.group_id = g.id
            order by m.instance_id) as members
        from scheduler.server_groups g
        """

    private static func groupCount(of project: ProjectID, user: UserID?) -> Statement {
        """
        select count(*) from scheduler.server_groups
        where project_id = \(project.text) and (\(user?.text)::text is null or user_id = \(user?.text)::text)
        """
    }

    private static func group(_ row: Row) throws -> ServerGroup {
        ServerGroup(
            id: try row.get("id"), projectID: ProjectID(try row.get("project_id")),
            userID: UserID(try row.get("user_id")), name: try row.get("name"), policy: try policy(row),
            serversPerHost: try row.get("servers_per_host"), createdAt: try row.get("created_at"),
            members: try row.get("members"))
    }

    private static func policy(_ row: Row) throws -> ServerGroup.Policy {
        let text: String = try row.get("policy")
        guard let policy = ServerGroup.Policy(rawValue: text) else {
            throw PostgresError.decoding(column: "policy", reason: "\(text) is no policy")
        }
        return policy
    }

    // MARK: Members

    /// The servers join `group`, in the transaction that accepts them and that holds the project's lock on its quotas.
    /// - Throws: ``ServerGroupNotFound``; ``QuotaExceeded`` for more members of one user than `limit`.
    static func join(
        _ servers: [Instance], _ group: ServerGroupID, limit: Int, in transaction: PostgresTransaction
    ) async throws {
        guard let first = servers.first else { return }
        let known = try await transaction.query(
            """
            select 1 from scheduler.server_groups where id = \(group) and project_id = \(first.projectID.text)
            for key share
            """)
        guard !known.isEmpty else { throw ServerGroupNotFound(group) }
        if limit >= 0 {
            let used: Int =
                try await transaction.query(
                    """
                    select count(*) from scheduler.group_members
                    where group_id = \(group) and user_id = \(first.userID.text)
                    """
                ).scalar() ?? 0
            guard used + servers.count <= limit else {
                throw QuotaExceeded(
                    resource: "server_group_members", requested: servers.count, used: used, limit: limit)
            }
        }
        try await transaction.execute(
            """
            insert into scheduler.group_members (instance_id, group_id, user_id)
            select m, \(group), \(first.userID.text) from unnest(\(servers.map(\.id))) as m
            """)
    }

    /// Locks groups and reads on which hosts their members are, claims of ended transactions included.
    static func lockGroups(
        _ ids: Set<ServerGroupID>, in transaction: PostgresTransaction
    ) async throws -> [ServerGroupID: PlacementSnapshot.Group] {
        guard !ids.isEmpty else { return [:] }
        let answers = try await transaction.pipeline([
            """
            select g.id, g.policy, g.servers_per_host from scheduler.server_groups g
            where g.id = any(\(ids.sorted())) order by g.id for no key update
            """,
            """
            select m.group_id, p.name, count(distinct m.instance_id) as servers from scheduler.group_members m
            join placement.allocations a on a.consumer_id = m.instance_id
            join placement.providers p on p.id = a.provider_id
            where m.group_id = any(\(ids.sorted())) group by m.group_id, p.name
            """,
        ])
        var groups: [ServerGroupID: PlacementSnapshot.Group] = [:]
        for row in answers[0] {
            groups[try row.get("id")] = PlacementSnapshot.Group(
                policy: try policy(row), serversPerHost: try row.get("servers_per_host"))
        }
        for row in answers[1] {
            groups[try row.get("group_id")]?.servers[HostName(try row.get("name"))] = try row.get("servers")
        }
        return groups
    }

    /// On which hosts servers of a project are: what the hints `same_host` and `different_host` name.
    static func hosts(
        of servers: Set<ServerID>, in transaction: PostgresTransaction
    ) async throws -> [ServerID: (project: ProjectID, host: HostName)] {
        guard !servers.isEmpty else { return [:] }
        let rows = try await transaction.query(
            """
            select distinct a.consumer_id, i.project_id, p.name from placement.allocations a
            join placement.providers p on p.id = a.provider_id
            join directory.instances i on i.id = a.consumer_id
            where a.consumer_id = any(\(servers.sorted()))
            """)
        return try rows.reduce(into: [:]) { hosts, row in
            hosts[try row.get("consumer_id")] = (
                ProjectID(try row.get("project_id")), HostName(try row.get("name"))
            )
        }
    }
}
