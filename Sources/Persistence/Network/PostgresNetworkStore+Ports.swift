package import CloudModel
package import FoundationEssentials
import PostgresClient
import Primitives

extension PostgresNetworkStore {
    package func ports(_ query: PortQuery) async throws -> [Port] {
        var conditions: [Statement] = []
        if let project = query.visibleTo {
            conditions.append(
                """
                (p.project_id = \(project.text) or p.network_id in
                    (select n.id from network.networks n where n.project_id = \(project.text)))
                """)
        }
        if let ids = query.ids { conditions.append("p.id = any(\(ids))") }
        if let ids = query.networkIDs { conditions.append("p.network_id = any(\(ids))") }
        if let ids = query.deviceIDs { conditions.append("p.device_id = any(\(ids))") }
        if let ids = query.projectIDs { conditions.append("p.project_id = any(\(ids.map(\.text)))") }
        let statement: Statement =
            "select \(raw: Port.columns) from network.ports p\(fragment: Self.filter(conditions)) order by p.created_at, p.id"
        return try await pool.query(statement).map { try Port($0) }
    }

    package func create(_ draft: PortDraft) async throws -> Port {
        try await pool.transaction { transaction in
            try await checkQuota(.port, of: draft.projectID, in: transaction)
            let exists = try await transaction.execute(
                "select id from network.networks where id = \(draft.networkID) for key share")
            guard exists > 0 else { throw NetworkError.networkNotFound(draft.networkID) }
            let subnets = try await Self.lockSubnets(of: [draft.networkID], in: transaction)
            var port = Port(
                id: draft.id, networkID: draft.networkID, projectID: draft.projectID, name: draft.name,
                macAddress: draft.macAddress ?? "", addresses: [], deviceID: draft.deviceID,
                deviceOwner: draft.deviceOwner, securityGroupIDs: draft.securityGroupIDs, createdAt: draft.createdAt)
            port.description = draft.description
            port.isPortSecurityEnabled = draft.isPortSecurityEnabled
            port.isAdminUp = draft.isAdminUp
            port.dnsName = draft.dnsName
            try await insert(&port, in: transaction)
            let wanted = draft.addresses ?? (subnets.isEmpty ? [] : [AddressRequest()])
            let allocator = AddressAllocator(ids: ids)
            for request in wanted {
                port.addresses.append(
                    try await allocator.assign(
                        request, of: subnets, network: port.networkID, to: port.id, in: transaction))
            }
            return port
        }
    }

    package func update(_ id: PortID, _ changes: PortChanges, now: Date) async throws -> Port {
        try await pool.transaction { transaction in
            let rows = try await transaction.query(
                "select \(raw: Port.columns) from network.ports p where p.id = \(id) for update of p")
            guard let row = rows.first else { throw NetworkError.portNotFound(id) }
            var port = try Port(row)
            port.name = changes.name ?? port.name
            port.description = changes.description ?? port.description
            port.deviceID = changes.deviceID ?? port.deviceID
            port.deviceOwner = changes.deviceOwner ?? port.deviceOwner
            port.securityGroupIDs = changes.securityGroupIDs ?? port.securityGroupIDs
            port.isPortSecurityEnabled = changes.isPortSecurityEnabled ?? port.isPortSecurityEnabled
            port.isAdminUp = changes.isAdminUp ?? port.isAdminUp
            port.dnsName = changes.dnsName ?? port.dnsName
            port.updatedAt = now
            port.revision += 1
            try await transaction.execute(
                """
                update network.ports set name = \(port.name), description = \(port.description),
                    device_id = \(port.deviceID), device_owner = \(port.deviceOwner),
                    group_ids = \(port.securityGroupIDs), is_port_security_enabled = \(port.isPortSecurityEnabled),
                    is_admin_up = \(port.isAdminUp), dns_name = \(port.dnsName), updated_at = \(now),
                    revision = \(port.revision)
                where id = \(id)
                """)
            if let wanted = changes.addresses {
                port.addresses = try await readdress(port, wanted, in: transaction)
            }
            return port
        }
    }

    /// Keeps what the port has of `wanted`, gives back the rest, takes what is new.
    private func readdress(
        _ port: Port, _ wanted: [AddressRequest], in transaction: PostgresTransaction
    ) async throws -> [Port.Address] {
        let subnets = try await Self.lockSubnets(of: [port.networkID], in: transaction)
        func isKept(_ address: Port.Address) -> Bool {
            wanted.contains { request in
                request.address == address.address && request.subnetID.map { $0 == address.subnetID } ?? true
            }
        }
        for address in port.addresses where !isKept(address) {
            try await transaction.execute(
                """
                delete from network.addresses where subnet_id = \(address.subnetID)
                    and address = \(Int64(address.address.bits)) and port_id = \(port.id)
                """)
        }
        var addresses = port.addresses.filter(isKept)
        let allocator = AddressAllocator(ids: ids)
        for request in wanted where !addresses.contains(where: { $0.address == request.address }) {
            addresses.append(
                try await allocator.assign(
                    request, of: subnets, network: port.networkID, to: port.id, in: transaction))
        }
        return addresses
    }

    package func deletePort(_ id: PortID) async throws {
        guard try await pool.execute("delete from network.ports where id = \(id)") > 0 else {
            throw NetworkError.portNotFound(id)
        }
    }

    /// MAC addresses are drawn until one is free on the network; a port that has one keeps it or fails.
    func insert(_ port: inout Port, in transaction: PostgresTransaction) async throws {
        let isChosen = !port.macAddress.isEmpty
        for _ in 0..<Self.macAttempts {
            if !isChosen { port.macAddress = MACAddress.random(ids) }
            let inserted = try await transaction.execute(
                """
                insert into network.ports (id, network_id, project_id, name, description, mac_address, device_id,
                    device_owner, group_ids, is_port_security_enabled, is_admin_up, dns_name, is_owned_by_server,
                    created_at, updated_at, revision)
                values (\(port.id), \(port.networkID), \(port.projectID.text), \(port.name), \(port.description),
                    \(port.macAddress), \(port.deviceID), \(port.deviceOwner), \(port.securityGroupIDs),
                    \(port.isPortSecurityEnabled), \(port.isAdminUp), \(port.dnsName), \(port.isOwnedByServer),
                    \(port.createdAt), \(port.updatedAt), \(port.revision))
                on conflict on constraint ports_mac do nothing
                """)
            if inserted > 0 { return }
            if isChosen { break }
        }
        throw NetworkError.macInUse(port.macAddress)
    }

    /// Draws before a network's MAC addresses count as used up; one of 16 million is tried each time.
    private static let macAttempts = 16

    /// The networks' subnets, locked in one order so that addresses are given out one port at a time.
    static func lockSubnets(of networks: [NetworkID], in transaction: PostgresTransaction) async throws -> [Subnet] {
        let rows = try await transaction.query(
            """
            select \(raw: Subnet.columns) from network.subnets s where s.network_id = any(\(networks))
            order by s.id for no key update
            """)
        return try rows.map { try Subnet($0) }.sorted { ($0.createdAt, $0.id) < ($1.createdAt, $1.id) }
    }
}
