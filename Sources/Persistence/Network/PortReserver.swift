import CloudModel
import FoundationEssentials
import PostgresClient
import Primitives

extension PortLedger {
    /// Ports of the embedded network service, in the root store's own transactions.
    package static func network(_ store: PostgresNetworkStore) -> PortLedger {
        let reserver = PortReserver(store: store)
        return PortLedger(
            reserve: { try await reserver.reserve($0, in: $1, now: $2) },
            release: { try await PortReserver.release($0, in: $1) },
            reconcile: { try await PortReserver.releaseStrays(in: $0) })
    }
}

/// Ports for servers, inside the transaction that accepts them or ends them.
///
/// One new port costs four round trips: what there is to choose from, the port, a free address, taking it.
struct PortReserver: Sendable {
    let store: PostgresNetworkStore
    var ids: any IDSource { store.ids }

    /// Makes or takes the ports that `reservation` asks for.
    /// - Throws: ``PortReservationError``.
    func reserve(
        _ reservation: PortReservation, in transaction: PostgresTransaction, now: Date
    ) async throws -> ReservedPorts {
        var listed: [PortReservation.Network] = []
        switch reservation.choice {
        case .none: return ReservedPorts(interfaces: [], securityGroups: [])
        case .automatic: break
        case .listed(let networks): listed = networks
        }
        let ports = try await take(listed.compactMap(\.portID), for: reservation, in: transaction, now: now)
        let stock = try await stock(reservation, listed, ports, in: transaction, now: now)
        if reservation.choice == .automatic {
            // A project's own networks come before those that are shared with it.
            let own = stock.networks.filter { $0.projectID == reservation.projectID }
            let choice = own.isEmpty ? stock.networks : own
            guard choice.count <= 1 else { throw PortReservationError.ambiguousNetwork }
            listed = choice.map { PortReservation.Network(networkID: $0.id) }
        }
        try stock.checkQuota(adding: listed.count - ports.count)
        var interfaces: [NetworkInterface] = []
        var names: [String] = []
        for wanted in listed {
            let port: Port
            if let id = wanted.portID {
                guard let found = ports.first(where: { $0.id == id }) else {
                    throw PortReservationError.portNotFound(id)
                }
                port = found
            } else {
                port = try await make(wanted, reservation, stock, in: transaction, now: now)
            }
            interfaces.append(stock.interface(port, tag: wanted.tag))
            for name in stock.groupNames(port) where !names.contains(name) { names.append(name) }
        }
        return ReservedPorts(interfaces: interfaces, securityGroups: names)
    }

    /// Gives back what a server had: its own ports go, others become free again.
    static func release(_ server: ServerID, in transaction: PostgresTransaction) async throws {
        let device = server.description
        _ = try await transaction.pipeline([
            "delete from network.ports where device_id = \(device) and is_owned_by_server",
            """
            update network.ports set device_id = '', device_owner = '', revision = revision + 1
            where device_id = \(device)
            """,
        ])
    }

    /// Removes ports that were made for servers and whose server is gone; those that a user gave to something else stay.
    static func releaseStrays(in transaction: PostgresTransaction) async throws -> Int {
        try await transaction.execute(
            """
            delete from network.ports p where p.is_owned_by_server and p.device_owner = \(Port.computeOwner)
                and length(p.device_id) = \(serverIDLength) and \(raw: PostgresRootStore.isWhole)
                and \(raw: PostgresRootStore.isGone("p.device_id", cast: "::text"))
            """)
    }

    /// Characters of a UUID.
    private static let serverIDLength = 36

    /// Existing ports become the server's.
    private func take(
        _ wanted: [PortID], for reservation: PortReservation, in transaction: PostgresTransaction, now: Date
    ) async throws -> [Port] {
        guard !wanted.isEmpty else { return [] }
        let rows = try await transaction.query(
            "select \(raw: Port.columns) from network.ports p where p.id = any(\(wanted)) order by p.id for update of p"
        )
        var ports = try rows.map { try Port($0) }
        for id in wanted {
            guard let port = ports.first(where: { $0.id == id }),
                reservation.isAdmin || port.projectID == reservation.projectID
            else { throw PortReservationError.portNotFound(id) }
            guard port.deviceID.isEmpty else { throw PortReservationError.portInUse(id) }
        }
        let device = reservation.serverID.description
        try await transaction.execute(
            """
            update network.ports set device_id = \(device), device_owner = \(Port.computeOwner), updated_at = \(now),
                revision = revision + 1 where id = any(\(wanted))
            """)
        for index in ports.indices {
            ports[index].deviceID = device
            ports[index].deviceOwner = Port.computeOwner
        }
        return ports
    }

    private func make(
        _ wanted: PortReservation.Network, _ reservation: PortReservation, _ stock: PortStock,
        in transaction: PostgresTransaction, now: Date
    ) async throws -> Port {
        guard let id = wanted.networkID, let network = stock.networks.first(where: { $0.id == id }) else {
            throw wanted.networkID.map { PortReservationError.networkNotFound($0) } ?? .ambiguousNetwork
        }
        let subnets = stock.subnets.filter { $0.networkID == id }
        guard !subnets.isEmpty else { throw PortReservationError.networkHasNoSubnet(id) }
        var request = AddressRequest()
        if let text = wanted.fixedAddress {
            guard let address = IPv4Address(text) else { throw PortReservationError.invalidAddress(text) }
            request.address = address
        }
        var port = Port(
            id: ids.next(), networkID: network.id, projectID: reservation.projectID, name: "", macAddress: "",
            addresses: [], deviceID: reservation.serverID.description, deviceOwner: Port.computeOwner,
            securityGroupIDs: stock.groups.map(\.id), createdAt: now)
        port.dnsName = reservation.hostname
        port.isOwnedByServer = true
        do {
            try await store.insert(&port, in: transaction)
            let address = try await AddressAllocator(ids: ids).assign(
                request, of: subnets, network: id, to: port.id, in: transaction)
            port.addresses = [address]
        } catch let error as NetworkError {
            throw Self.reservationError(error, network: id)
        }
        return port
    }

    private static func reservationError(_ error: NetworkError, network: NetworkID) -> any Error {
        switch error {
        case .noMoreAddresses(let id): PortReservationError.noMoreAddresses(id)
        case .addressInUse(let address): PortReservationError.addressInUse(address)
        case .invalidAddress(let address): PortReservationError.invalidAddress(address)
        case .macInUse: PortReservationError.noMoreAddresses(network)
        case .networkNotFound, .subnetNotFound, .portNotFound, .groupNotFound, .ruleNotFound, .networkInUse,
            .subnetInUse, .groupInUse, .defaultGroup, .defaultGroupExists, .overlappingSubnet, .ruleExists, .overQuota:
            error
        }
    }
}
