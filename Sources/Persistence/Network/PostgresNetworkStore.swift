package import CloudModel
import FoundationEssentials
package import PostgresClient
package import Primitives

/// The network service's storage in the schema `network` of the root database. Networks and subnets are in this file,
/// ports, groups and quotas each in one of their own.
package struct PostgresNetworkStore: NetworkStore {
    let pool: PostgresPool
    let ids: any IDSource

    /// - Parameter ids: where MAC addresses and default groups' ids come from.
    package init(pool: PostgresPool, ids: any IDSource) {
        self.pool = pool
        self.ids = ids
    }

    // MARK: Networks

    package func networks(visibleTo project: ProjectID?, ids: [NetworkID]?) async throws -> [Network] {
        var conditions: [Statement] = []
        if let project { conditions.append("(n.project_id = \(project.text) or n.is_shared)") }
        if let ids { conditions.append("n.id = any(\(ids))") }
        let statement: Statement =
            "select \(raw: Network.columns) from network.networks n\(fragment: Self.filter(conditions)) order by n.created_at, n.id"
        return try await pool.query(statement).map { try Network($0) }
    }

    package func insert(_ network: Network) async throws -> Network {
        try await pool.transaction { transaction in
            try await checkQuota(.network, of: network.projectID, in: transaction)
            try await transaction.execute(
                """
                insert into network.networks (id, project_id, name, description, is_shared, is_admin_up, mtu, created_at,
                    updated_at, revision)
                values (\(network.id), \(network.projectID.text), \(network.name), \(network.description),
                    \(network.isShared), \(network.isAdminUp), \(network.mtu), \(network.createdAt),
                    \(network.updatedAt), \(network.revision))
                """)
            return network
        }
    }

    package func update(
        _ id: NetworkID, _ change: @Sendable (inout Network) -> Void
    ) async throws -> Network {
        try await pool.transaction { transaction in
            let rows = try await transaction.query(
                "select \(raw: Network.columns) from network.networks n where n.id = \(id) for update of n")
            guard let row = rows.first else { throw NetworkError.networkNotFound(id) }
            var network = try Network(row)
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
        do {
            guard try await pool.execute("delete from network.networks where id = \(id)") > 0 else {
                throw NetworkError.networkNotFound(id)
            }
        } catch let error as PostgresError where error.sqlState == .foreignKeyViolation {
            throw NetworkError.networkInUse(id)
        }
    }

    // MARK: Subnets

    package func subnets(visibleTo project: ProjectID?, ids: [SubnetID]?) async throws -> [Subnet] {
        var conditions: [Statement] = []
        if let project {
            conditions.append(
                "(s.project_id = \(project.text) or n.project_id = \(project.text) or n.is_shared)")
        }
        if let ids { conditions.append("s.id = any(\(ids))") }
        let statement: Statement = """
            select \(raw: Subnet.columns) from network.subnets s join network.networks n on n.id = s.network_id
            \(fragment: Self.filter(conditions)) order by s.created_at, s.id
            """
        return try await pool.query(statement).map { try Subnet($0) }
    }

    package func insert(_ subnet: Subnet) async throws -> Subnet {
        try await pool.transaction { transaction in
            try await checkQuota(.subnet, of: subnet.projectID, in: transaction)
            // The network's lock orders subnets that are made at the same time.
            let locked = try await transaction.execute(
                "select id from network.networks where id = \(subnet.networkID) for no key update")
            guard locked > 0 else { throw NetworkError.networkNotFound(subnet.networkID) }
            let others = try await transaction.query(
                "select \(raw: Subnet.columns) from network.subnets s where s.network_id = \(subnet.networkID)")
            for other in try others.map({ try Subnet($0) }) where other.prefix.overlaps(subnet.prefix) {
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
            let rows = try await transaction.query(
                "select \(raw: Subnet.columns) from network.subnets s where s.id = \(id) for update")
            guard let row = rows.first else { throw NetworkError.subnetNotFound(id) }
            var subnet = try Subnet(row)
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
        do {
            guard try await pool.execute("delete from network.subnets where id = \(id)") > 0 else {
                throw NetworkError.subnetNotFound(id)
            }
        } catch let error as PostgresError where error.sqlState == .foreignKeyViolation {
            throw NetworkError.subnetInUse(id)
        }
    }

    static func filter(_ conditions: [Statement]) -> Statement {
        guard !conditions.isEmpty else { return Statement(raw: "") }
        var filter = Statement(raw: " where ")
        filter.append(Statement.joined(conditions, separator: " and "))
        return filter
    }
}
