import CloudModel
import FoundationEssentials
import PostgresClient
import Primitives

extension PortLedger {
    /// Ports of the embedded network service, in the root store's own transactions.
    package static func network(_ store: PostgresNetworkStore) -> PortLedger {
        PortLedger(
            reserve: { reservation, transaction, now in
                try await ServerPorts(store: store, transaction: transaction, now: now).reserve(reservation)
            },
            release: { server, transaction in
                _ = try await transaction.pipeline([
                    "delete from network.ports where device_id = \(server.description) and is_owned_by_server",
                    """
                    update network.ports set device_id = '', device_owner = '' where device_id = \(server.description)
                    """,
                ])
            })
    }
}

/// The ports of one new server, inside the transaction that accepts it.
private struct ServerPorts {
    let store: PostgresNetworkStore
    let transaction: PostgresTransaction
    let now: Date

    func reserve(_ reservation: PortReservation) async throws -> ReservedPorts {
        do {
            let groups = try await groups(reservation)
            var interfaces: [NetworkInterface] = []
            for wanted in try await networks(reservation) {
                interfaces.append(try await interface(wanted, reservation, groups))
            }
            return ReservedPorts(interfaces: interfaces, securityGroups: groups.map(\.name))
        } catch let error as NetworkError {
            throw Self.reservationError(error) ?? error
        }
    }

    private func groups(_ reservation: PortReservation) async throws -> [SecurityGroup] {
        let project = reservation.projectID
        let standard = try await PostgresNetworkStore.defaultGroup(
            of: project, ids: store.ids, now: now, in: transaction)
        guard !reservation.securityGroups.isEmpty else { return [standard] }
        let known = try await PostgresNetworkStore.groups(of: project, in: transaction)
        return try reservation.securityGroups.map { wanted in
            if let exact = known.first(where: { $0.id.description == wanted }) { return exact }
            let named = known.filter { $0.name == wanted }
            guard let first = named.first else { throw PortReservationError.securityGroupNotFound(wanted) }
            guard named.count == 1 else { throw PortReservationError.ambiguousSecurityGroup(wanted) }
            return first
        }
    }

    private func networks(_ reservation: PortReservation) async throws -> [PortReservation.Network] {
        switch reservation.choice {
        case .none: return []
        case .listed(let networks): return networks
        case .automatic:
            let project = reservation.projectID.text
            let rows = try await transaction.query(
                """
                select n.id, n.project_id from network.networks n
                where (n.project_id = \(project) or n.is_shared) and n.is_admin_up
                    and exists (select 1 from network.subnets s where s.network_id = n.id)
                order by n.created_at
                """)
            let own = try rows.filter { try $0.get("project_id", as: String.self) == project }
            let choice = own.isEmpty ? Array(rows) : own
            guard choice.count <= 1 else { throw PortReservationError.ambiguousNetwork }
            return try choice.map { PortReservation.Network(networkID: try $0.get("id")) }
        }
    }

    private func interface(
        _ wanted: PortReservation.Network, _ reservation: PortReservation, _ groups: [SecurityGroup]
    ) async throws -> NetworkInterface {
        if let id = wanted.portID {
            let port = try await adopt(id, reservation)
            let known = try await PostgresNetworkStore.groups(of: port.projectID, in: transaction)
            return try await describe(
                port, groups: known.filter { port.securityGroupIDs.contains($0.id) }, tag: wanted.tag)
        }
        guard let networkID = wanted.networkID else { throw PortReservationError.ambiguousNetwork }
        try await checkVisible(networkID, reservation)
        var draft = PortDraft(
            id: store.ids.next(), networkID: networkID, projectID: reservation.projectID, createdAt: now)
        draft.deviceID = reservation.serverID.description
        draft.deviceOwner = Port.computeOwner
        draft.securityGroupIDs = groups.map(\.id)
        draft.dnsName = reservation.hostname
        if let text = wanted.fixedAddress {
            guard let address = IPv4Address(text) else { throw PortReservationError.invalidAddress(text) }
            draft.addresses = [AddressRequest(address: address)]
        }
        let port = try await store.create(draft, isOwnedByServer: true, in: transaction)
        guard !port.addresses.isEmpty else { throw PortReservationError.networkHasNoSubnet(networkID) }
        return try await describe(port, groups: groups, tag: wanted.tag)
    }

    /// A port that its user made: it becomes the server's for as long as the server lives.
    private func adopt(_ id: PortID, _ reservation: PortReservation) async throws -> Port {
        var port = try await PostgresNetworkStore.port(id, in: transaction)
        guard reservation.isAdmin || port.projectID == reservation.projectID else {
            throw PortReservationError.portNotFound(id)
        }
        guard port.deviceID.isEmpty else { throw PortReservationError.portInUse(id) }
        port.deviceID = reservation.serverID.description
        port.deviceOwner = Port.computeOwner
        port.updatedAt = now
        port.revision += 1
        try await transaction.execute(PostgresNetworkStore.save(port))
        return port
    }

    private func checkVisible(_ id: NetworkID, _ reservation: PortReservation) async throws {
        let network = try await PostgresNetworkStore.network(id, in: transaction)
        guard reservation.isAdmin || network.isShared || network.projectID == reservation.projectID else {
            throw PortReservationError.networkNotFound(id)
        }
    }

    private func describe(_ port: Port, groups: [SecurityGroup], tag: String?) async throws -> NetworkInterface {
        let network = try await PostgresNetworkStore.network(port.networkID, in: transaction)
        let subnets = try await PostgresNetworkStore.subnets(of: port.networkID, in: transaction)
        let addresses = port.addresses.compactMap { taken -> NetworkInterface.FixedAddress? in
            guard let subnet = subnets.first(where: { $0.id == taken.subnetID }) else { return nil }
            return NetworkInterface.FixedAddress(
                subnetID: subnet.id, address: taken.address.description, prefixLength: subnet.prefix.length,
                gateway: subnet.gateway?.description, nameServers: subnet.nameServers)
        }
        let prefixes = subnets.filter { subnet in port.addresses.contains { $0.subnetID == subnet.id } }.map(\.prefix)
        return NetworkInterface(
            portID: port.id, networkID: network.id, networkName: network.name, macAddress: port.macAddress,
            addresses: addresses, mtu: network.mtu,
            securityRules: SecurityGroup.flatten(groups, prefixes: prefixes), tag: tag, isOwned: port.isOwnedByServer)
    }

    private static func reservationError(_ error: NetworkError) -> PortReservationError? {
        switch error {
        case .networkNotFound(let id): .networkNotFound(id)
        case .portNotFound(let id): .portNotFound(id)
        case .noMoreAddresses(let id): .noMoreAddresses(id)
        case .addressInUse(let text): .addressInUse(text)
        case .invalidAddress(let text): .invalidAddress(text)
        default: nil
        }
    }
}
