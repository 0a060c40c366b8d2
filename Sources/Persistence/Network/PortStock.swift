import CloudModel
import FoundationEssentials
import PostgresClient
import Primitives

/// Everything that ports of one server are made from, read in one round trip, subnets and quota locked.
struct PortStock {
    /// What the server may use: the networks it named, or all that its project sees and that have subnets.
    var networks: [Network]
    var subnets: [Subnet]
    /// The groups that new ports get.
    var groups: [SecurityGroup]
    /// Groups of existing ports.
    var otherGroups: [SecurityGroup]
    var quota: NetworkQuota
    var portsUsed: Int

    func checkQuota(adding added: Int) throws(PortReservationError) {
        let limit = quota.limit(.port)
        guard limit >= 0, added > 0, portsUsed + added > limit else { return }
        throw .quota(QuotaExceeded(resource: "port", requested: added, used: portsUsed, limit: limit))
    }

    private func groups(of port: Port) -> [SecurityGroup] {
        port.securityGroupIDs.compactMap { id in (groups + otherGroups).first { $0.id == id } }
    }

    func groupNames(_ port: Port) -> [String] { groups(of: port).map(\.name) }

    /// All that a host needs to realise the port.
    func interface(_ port: Port, tag: String?) -> NetworkInterface {
        let network = networks.first { $0.id == port.networkID }
        let own = subnets.filter { $0.networkID == port.networkID }
        let addresses = port.addresses.map { address -> NetworkInterface.FixedAddress in
            let subnet = own.first { $0.id == address.subnetID }
            return NetworkInterface.FixedAddress(
                subnetID: address.subnetID, address: address.address.description,
                prefixLength: subnet?.prefix.length ?? 32, gateway: subnet?.gateway?.description,
                nameServers: subnet?.nameServers ?? [])
        }
        let rules =
            port.isPortSecurityEnabled
            ? SecurityGroup.flatten(groups(of: port), prefixes: own.map(\.prefix)) : Self.everything
        return NetworkInterface(
            portID: port.id, networkID: port.networkID, networkName: network?.name ?? "",
            macAddress: port.macAddress, addresses: addresses, mtu: network?.mtu ?? Network.standardMTU,
            securityRules: rules, tag: tag, isOwned: port.isOwnedByServer)
    }

    /// For ports whose owner switched security off.
    private static let everything: [SecurityRule] = ["IPv4", "IPv6"].flatMap { type in
        [SecurityRule(direction: .egress, etherType: type), SecurityRule(direction: .ingress, etherType: type)]
    }
}

extension PortReserver {
    func stock(
        _ reservation: PortReservation, _ listed: [PortReservation.Network], _ ports: [Port],
        in transaction: PostgresTransaction, now: Date
    ) async throws -> PortStock {
        let project = reservation.projectID
        let wanted = listed.compactMap(\.networkID) + ports.map(\.networkID)
        var visible: [Statement] = []
        if reservation.choice == .automatic {
            visible = [
                "(n.project_id = \(project.text) or n.is_shared)", "n.is_admin_up",
                "exists (select 1 from network.subnets x where x.network_id = n.id)",
            ]
        } else {
            visible = ["n.id = any(\(wanted))"]
            if !reservation.isAdmin {
                visible.append(
                    "(n.project_id = \(project.text) or n.is_shared or n.id = any(\(ports.map(\.networkID))))")
            }
        }
        let filter = PostgresNetworkStore.filter(visible)
        let rows = try await transaction.pipeline(
            [
                PostgresNetworkStore.lock(project), PostgresNetworkStore.quotaQuery(project),
                "select count(*) from network.ports where project_id = \(project.text)",
                "select \(raw: Network.columns) from network.networks n\(fragment: filter) order by n.created_at, n.id",
                """
                select \(raw: Subnet.columns) from network.subnets s
                where s.network_id in (select n.id from network.networks n\(fragment: filter))
                order by s.id for no key update of s
                """,
            ] + PostgresNetworkStore.groupStatements(["g.project_id = \(project.text)"])
                + PostgresNetworkStore.groupStatements(["g.id = any(\(ports.flatMap(\.securityGroupIDs)))"]))
        let own = try SecurityGroup.assemble(rows[5], rows[6])
        return PortStock(
            networks: try rows[3].map { try Network($0) },
            subnets: try rows[4].map { try Subnet($0) }.sorted { ($0.createdAt, $0.id) < ($1.createdAt, $1.id) },
            groups: try await groups(reservation, own, in: transaction, now: now),
            otherGroups: try SecurityGroup.assemble(rows[7], rows[8]), quota: PostgresNetworkStore.quota(rows[1]),
            portsUsed: try rows[2].scalar(as: Int.self) ?? 0)
    }

    /// The groups by name or id; the project's default one when none is named.
    private func groups(
        _ reservation: PortReservation, _ own: [SecurityGroup], in transaction: PostgresTransaction, now: Date
    ) async throws -> [SecurityGroup] {
        var own = own
        if !own.contains(where: \.isDefault) {
            own.append(
                try await PostgresNetworkStore.ensureDefaultGroup(
                    of: reservation.projectID, ids: ids, now: now, in: transaction))
        }
        guard !reservation.securityGroups.isEmpty else { return own.filter(\.isDefault) }
        return try reservation.securityGroups.map { wanted in
            if let group = own.first(where: { $0.id.description == wanted.lowercased() }) { return group }
            let named = own.filter { $0.name == wanted }
            guard let group = named.first else { throw PortReservationError.securityGroupNotFound(wanted) }
            guard named.count == 1 else { throw PortReservationError.ambiguousSecurityGroup(wanted) }
            return group
        }
    }
}
