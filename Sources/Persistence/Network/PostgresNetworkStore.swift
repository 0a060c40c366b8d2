package import CloudModel
import FoundationEssentials
package import PostgresClient
package import Primitives

/// The network service's storage in the root database; one facet a file.
package struct PostgresNetworkStore: Sendable {
    let pool: PostgresPool
    let ids: any IDSource

    /// - Parameter ids: where MAC addresses of new ports come from.
    package init(pool: PostgresPool, ids: any IDSource) {
        self.pool = pool
        self.ids = ids
    }

    /// One request of a project at a time counts what it has and adds to it.
    static func checkQuota(
        _ resource: NetworkResource, of project: ProjectID, added: Int = 1, in transaction: PostgresTransaction
    ) async throws {
        _ = try await transaction.query(
            "select pg_advisory_xact_lock(hashtextextended(\("network quota " + project.text), 0))")
        let limits: [String: Int]? = try await transaction.query(
            "select limits from network.quotas where project_id = \(project.text)"
        ).first?.json("limits")
        let used: Int? = try await transaction.query(
            "select count(*) from network.\(raw: table(resource)) where project_id = \(project.text)"
        ).scalar()
        try quota(limits ?? [:]).check(resource, used: used ?? 0, added: added)
    }

    /// What is counted; resources that are not there yet are counted in an empty relation.
    private static func table(_ resource: NetworkResource) -> String {
        switch resource {
        case .network: "networks"
        case .subnet: "subnets"
        case .port: "ports"
        case .securityGroup: "groups"
        case .securityGroupRule: "rules"
        case .router, .floatingIP, .subnetPool, .rbacPolicy: "networks limit 0"
        }
    }

    static func quota(_ limits: [String: Int]) -> NetworkQuota {
        var overrides: [NetworkResource: Int] = [:]
        for (name, limit) in limits {
            if let resource = NetworkResource(rawValue: name) { overrides[resource] = limit }
        }
        return NetworkQuota(overrides: overrides)
    }
}

extension PostgresNetworkStore: NetworkStore {
    // MARK: Networks

    package func networks(visibleTo project: ProjectID?, ids: [NetworkID]?) async throws -> [Network] {
        var statement = Statement(raw: NetworkRows.selectNetworks + " where true")
        if let project {
            let own: Statement = " and (n.project_id = \(project.text) or n.is_shared)"
            statement.append(own)
        }
        if let ids {
            let these: Statement = " and n.id = any(\(ids))"
            statement.append(these)
        }
        statement.append(raw: " order by n.created_at, n.id")
        return try await pool.query(statement).map(NetworkRows.network)
    }

    package func insert(_ network: Network) async throws -> Network {
        try await pool.transaction { transaction in
            try await Self.checkQuota(.network, of: network.projectID, in: transaction)
            try await transaction.execute(
                """
                insert into network.networks (id, project_id, name, description, is_shared, is_admin_up, mtu,
                    created_at, updated_at, revision)
                values (\(network.id), \(network.projectID.text), \(network.name), \(network.description),
                    \(network.isShared), \(network.isAdminUp), \(network.mtu), \(network.createdAt),
                    \(network.updatedAt), \(network.revision))
                """)
            return network
        }
    }

    package func update(_ id: NetworkID, _ change: @Sendable (inout Network) -> Void) async throws -> Network {
        try await pool.transaction { transaction in
            var network = try await Self.network(id, in: transaction)
            change(&network)
            network.revision += 1
            try await transaction.execute(
                """
                update network.networks set name = \(network.name), description = \(network.description),
                    is_shared = \(network.isShared), is_admin_up = \(network.isAdminUp), mtu = \(network.mtu),
                    updated_at = \(network.updatedAt), revision = \(network.revision)
                where id = \(id)
                """)
            return network
        }
    }

    package func deleteNetwork(_ id: NetworkID) async throws {
        try await pool.transaction { transaction in
            _ = try await Self.network(id, in: transaction)
            let ports: Int? = try await transaction.query(
                "select count(*) from network.ports where network_id = \(id)"
            ).scalar()
            guard ports == 0 else { throw NetworkError.networkInUse(id) }
            try await transaction.execute("delete from network.networks where id = \(id)")
        }
    }

    /// The network, locked until the transaction ends.
    static func network(_ id: NetworkID, in transaction: PostgresTransaction) async throws -> Network {
        let rows = try await transaction.query("\(raw: NetworkRows.selectNetworks) where n.id = \(id) for update of n")
        guard let row = rows.first else { throw NetworkError.networkNotFound(id) }
        return try NetworkRows.network(row)
    }

    // MARK: Subnets

    package func subnets(visibleTo project: ProjectID?, ids: [SubnetID]?) async throws -> [Subnet] {
        var statement: Statement =
            "select s.* from network.subnets s join network.networks n on n.id = s.network_id where true"
        if let project {
            let own: Statement =
                " and (s.project_id = \(project.text) or n.project_id = \(project.text) or n.is_shared)"
            statement.append(own)
        }
        if let ids {
            let these: Statement = " and s.id = any(\(ids))"
            statement.append(these)
        }
        statement.append(raw: " order by s.created_at, s.id")
        return try await pool.query(statement).map(NetworkRows.subnet)
    }

    package func insert(_ subnet: Subnet) async throws -> Subnet {
        try await pool.transaction { transaction in
            // The network's lock keeps two overlapping subnets from being made side by side.
            _ = try await Self.network(subnet.networkID, in: transaction)
            try await Self.checkQuota(.subnet, of: subnet.projectID, in: transaction)
            for other in try await Self.subnets(of: subnet.networkID, in: transaction)
            where other.prefix.overlaps(subnet.prefix) {
                throw NetworkError.overlappingSubnet(subnet.prefix, with: other.id)
            }
            try await transaction.execute(
                """
                insert into network.subnets (id, network_id, project_id, name, description, prefix, gateway, pools,
                    name_servers, is_dhcp_enabled, created_at, updated_at, revision)
                values (\(subnet.id), \(subnet.networkID), \(subnet.projectID.text), \(subnet.name),
                    \(subnet.description), \(subnet.prefix.description), \(subnet.gateway?.description),
                    \(PostgresJSON(subnet.pools)), \(subnet.nameServers), \(subnet.isDHCPEnabled), \(subnet.createdAt),
                    \(subnet.updatedAt), \(subnet.revision))
                """)
            return subnet
        }
    }

    package func update(_ id: SubnetID, _ change: @Sendable (inout Subnet) -> Void) async throws -> Subnet {
        try await pool.transaction { transaction in
            let rows = try await transaction.query("select * from network.subnets where id = \(id) for update")
            guard let row = rows.first else { throw NetworkError.subnetNotFound(id) }
            var subnet = try NetworkRows.subnet(row)
            change(&subnet)
            subnet.revision += 1
            try await transaction.execute(
                """
                update network.subnets set name = \(subnet.name), description = \(subnet.description),
                    gateway = \(subnet.gateway?.description), pools = \(PostgresJSON(subnet.pools)),
                    name_servers = \(subnet.nameServers), is_dhcp_enabled = \(subnet.isDHCPEnabled),
                    updated_at = \(subnet.updatedAt), revision = \(subnet.revision)
                where id = \(id)
                """)
            return subnet
        }
    }

    package func deleteSubnet(_ id: SubnetID) async throws {
        try await pool.transaction { transaction in
            let rows = try await transaction.query("select id from network.subnets where id = \(id) for update")
            guard !rows.isEmpty else { throw NetworkError.subnetNotFound(id) }
            let taken: Int? = try await transaction.query(
                "select count(*) from network.addresses where subnet_id = \(id)"
            ).scalar()
            guard taken == 0 else { throw NetworkError.subnetInUse(id) }
            try await transaction.execute("delete from network.subnets where id = \(id)")
        }
    }

    static func subnets(of network: NetworkID, in transaction: PostgresTransaction) async throws -> [Subnet] {
        try await transaction.query(
            "select * from network.subnets where network_id = \(network) order by created_at, id"
        ).map(NetworkRows.subnet)
    }

    // MARK: Quotas

    package func quota(of project: ProjectID) async throws -> NetworkQuota {
        let rows = try await pool.query("select limits from network.quotas where project_id = \(project.text)")
        return Self.quota(try rows.first?.json("limits") ?? [:])
    }

    package func setQuota(_ quota: NetworkQuota, of project: ProjectID) async throws {
        let limits = Dictionary(uniqueKeysWithValues: quota.overrides.map { ($0.key.rawValue, $0.value) })
        _ = try await pool.execute(
            """
            insert into network.quotas (project_id, limits) values (\(project.text), \(PostgresJSON(limits)))
            on conflict (project_id) do update set limits = excluded.limits
            """)
    }

    package func usage(of project: ProjectID) async throws -> [NetworkResource: Int] {
        let rows = try await pool.query(
            """
            select 'network' as resource, count(*) as used from network.networks where project_id = \(project.text)
            union all select 'subnet', count(*) from network.subnets where project_id = \(project.text)
            union all select 'port', count(*) from network.ports where project_id = \(project.text)
            union all select 'security_group', count(*) from network.groups where project_id = \(project.text)
            union all select 'security_group_rule', count(*) from network.rules where project_id = \(project.text)
            """)
        var usage: [NetworkResource: Int] = [:]
        for row in rows {
            guard let resource = NetworkResource(rawValue: try row.get("resource")) else { continue }
            usage[resource] = try row.get("used")
        }
        return usage
    }
}
