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
                (p.project_id = \(project.text) or p.network_id in (
                    select n.id from network.networks n where n.project_id = \(project.text)))
                """)
        }
        if let ids = query.ids { conditions.append("p.id = any(\(ids))") }
        if let networks = query.networkIDs { conditions.append("p.network_id = any(\(networks))") }
        if let devices = query.deviceIDs { conditions.append("p.device_id = any(\(devices))") }
        if let projects = query.projectIDs { conditions.append("p.project_id = any(\(projects.map(\.text)))") }
        var statement = Statement(raw: NetworkRows.selectPorts)
        if !conditions.isEmpty {
            statement.append(raw: " where ")
            statement.append(Statement.joined(conditions, separator: " and "))
        }
        statement.append(raw: " order by p.created_at, p.id")
        return try await pool.query(statement).map(NetworkRows.port)
    }

    package func create(_ draft: PortDraft) async throws -> Port {
        try await pool.transaction { transaction in try await create(draft, isOwnedByServer: false, in: transaction) }
    }

    package func update(_ id: PortID, _ changes: PortChanges, now: Date) async throws -> Port {
        try await pool.transaction { transaction in
            var port = try await Self.port(id, in: transaction)
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
            if let wanted = changes.addresses {
                // What is kept stays untouched; only then are others given back and taken.
                let kept = port.addresses.filter { have in wanted.contains { $0.address == have.address } }
                try await transaction.execute(
                    """
                    delete from network.addresses where port_id = \(id)
                        and not address = any(\(kept.map { Int64($0.address.bits) }))
                    """)
                let missing = wanted.filter { request in
                    request.address == nil || !kept.contains { $0.address == request.address }
                }
                port.addresses = kept
                port.addresses += try await PortAllocation(transaction: transaction).take(
                    missing, on: port.networkID, for: id)
            }
            try await transaction.execute(Self.save(port))
            return port
        }
    }

    package func deletePort(_ id: PortID) async throws {
        let deleted = try await pool.execute("delete from network.ports where id = \(id)")
        guard deleted > 0 else { throw NetworkError.portNotFound(id) }
    }

    // MARK: Inside a transaction

    static func port(_ id: PortID, in transaction: PostgresTransaction) async throws -> Port {
        let rows = try await transaction.query("\(raw: NetworkRows.selectPorts) where p.id = \(id) for update of p")
        guard let row = rows.first else { throw NetworkError.portNotFound(id) }
        return try NetworkRows.port(row)
    }

    static func save(_ port: Port) -> Statement {
        """
        update network.ports set name = \(port.name), description = \(port.description), device_id = \(port.deviceID),
            device_owner = \(port.deviceOwner), group_ids = \(port.securityGroupIDs),
            is_port_security_enabled = \(port.isPortSecurityEnabled), is_admin_up = \(port.isAdminUp),
            dns_name = \(port.dnsName), is_owned_by_server = \(port.isOwnedByServer), updated_at = \(port.updatedAt),
            revision = \(port.revision)
        where id = \(port.id)
        """
    }

    /// Makes a port: quota, MAC and addresses in this transaction.
    func create(
        _ draft: PortDraft, isOwnedByServer: Bool, in transaction: PostgresTransaction
    ) async throws -> Port {
        try await Self.checkQuota(.port, of: draft.projectID, in: transaction)
        let networks = try await transaction.query("select id from network.networks where id = \(draft.networkID)")
        guard !networks.isEmpty else { throw NetworkError.networkNotFound(draft.networkID) }
        let allocation = PortAllocation(transaction: transaction)
        let mac: String
        if let wanted = draft.macAddress {
            guard try await !allocation.isTaken(wanted, on: draft.networkID) else {
                throw NetworkError.macInUse(wanted)
            }
            mac = wanted
        } else {
            mac = try await allocation.freeMAC(on: draft.networkID, ids: ids)
        }
        var port = Port(
            id: draft.id, networkID: draft.networkID, projectID: draft.projectID, name: draft.name, macAddress: mac,
            addresses: [], deviceID: draft.deviceID, deviceOwner: draft.deviceOwner,
            securityGroupIDs: draft.securityGroupIDs, createdAt: draft.createdAt)
        port.description = draft.description
        port.isPortSecurityEnabled = draft.isPortSecurityEnabled
        port.isAdminUp = draft.isAdminUp
        port.dnsName = draft.dnsName
        port.isOwnedByServer = isOwnedByServer
        try await transaction.execute(Self.insertion(of: port))
        let requests = try await allocation.requests(draft.addresses, on: draft.networkID)
        port.addresses = try await allocation.take(requests, on: draft.networkID, for: draft.id)
        return port
    }

    private static func insertion(of port: Port) -> Statement {
        """
        insert into network.ports (id, network_id, project_id, name, description, mac_address, device_id, device_owner,
            group_ids, is_port_security_enabled, is_admin_up, dns_name, is_owned_by_server, created_at, updated_at,
            revision)
        values (\(port.id), \(port.networkID), \(port.projectID.text), \(port.name), \(port.description),
            \(port.macAddress), \(port.deviceID), \(port.deviceOwner), \(port.securityGroupIDs),
            \(port.isPortSecurityEnabled), \(port.isAdminUp), \(port.dnsName), \(port.isOwnedByServer),
            \(port.createdAt), \(port.updatedAt), \(port.revision))
        """
    }
}
