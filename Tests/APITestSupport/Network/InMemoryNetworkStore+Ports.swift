package import CloudModel
package import FoundationEssentials
import Primitives
import Synchronization

extension InMemoryNetworkStore {
    package func ports(_ query: PortQuery) async throws -> [Port] {
        state.withLock { state in
            state.ports.filter { port in
                let network = state.networks.first { $0.id == port.networkID }
                let isVisible =
                    query.visibleTo == nil || port.projectID == query.visibleTo
                    || network?.projectID == query.visibleTo
                return isVisible && (query.ids?.contains(port.id) ?? true)
                    && (query.networkIDs?.contains(port.networkID) ?? true)
                    && (query.deviceIDs?.contains(port.deviceID) ?? true)
                    && (query.projectIDs?.contains(port.projectID) ?? true)
            }
        }
    }

    package func create(_ draft: PortDraft) async throws -> Port {
        try state.withLock { state in
            try state.check(.port, draft.projectID)
            guard state.networks.contains(where: { $0.id == draft.networkID }) else {
                throw NetworkError.networkNotFound(draft.networkID)
            }
            let mac = draft.macAddress ?? MACAddress.random(ids)
            guard !state.ports.contains(where: { $0.networkID == draft.networkID && $0.macAddress == mac }) else {
                throw NetworkError.macInUse(mac)
            }
            var port = Port(
                id: draft.id, networkID: draft.networkID, projectID: draft.projectID, name: draft.name, macAddress: mac,
                addresses: [], deviceID: draft.deviceID, deviceOwner: draft.deviceOwner,
                securityGroupIDs: draft.securityGroupIDs, createdAt: draft.createdAt)
            port.description = draft.description
            port.isPortSecurityEnabled = draft.isPortSecurityEnabled
            port.isAdminUp = draft.isAdminUp
            port.dnsName = draft.dnsName
            let hasSubnets = state.subnets.contains { $0.networkID == draft.networkID }
            for request in draft.addresses ?? (hasSubnets ? [AddressRequest()] : []) {
                port.addresses.append(try state.assign(request, on: draft.networkID, besides: port.addresses))
            }
            state.ports.append(port)
            return port
        }
    }

    package func update(_ id: PortID, _ changes: PortChanges, now: Date) async throws -> Port {
        try state.withLock { state in
            guard let index = state.ports.firstIndex(where: { $0.id == id }) else {
                throw NetworkError.portNotFound(id)
            }
            var port = state.ports[index]
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
                let old = port.addresses
                port.addresses = old.filter { address in wanted.contains { $0.address == address.address } }
                for request in wanted where !port.addresses.contains(where: { $0.address == request.address }) {
                    port.addresses.append(try state.assign(request, on: port.networkID, besides: old))
                }
            }
            state.ports[index] = port
            return port
        }
    }

    package func deletePort(_ id: PortID) async throws {
        try state.withLock { state in
            guard let index = state.ports.firstIndex(where: { $0.id == id }) else {
                throw NetworkError.portNotFound(id)
            }
            state.ports.remove(at: index)
        }
    }

    // MARK: What the root's transactions do

    package func reserve(_ reservation: PortReservation, now: Date) throws -> ReservedPorts {
        try state.withLock { state in
            var listed: [PortReservation.Network] = []
            switch reservation.choice {
            case .none: return ReservedPorts(interfaces: [], securityGroups: [])
            case .listed(let networks): listed = networks
            case .automatic:
                let visible = state.networks.filter { network in
                    (network.projectID == reservation.projectID || network.isShared)
                        && state.subnets.contains { $0.networkID == network.id }
                }
                let own = visible.filter { $0.projectID == reservation.projectID }
                let choice = own.isEmpty ? visible : own
                guard choice.count <= 1 else { throw PortReservationError.ambiguousNetwork }
                listed = choice.map { PortReservation.Network(networkID: $0.id) }
            }
            let groups = try state.groups(reservation, ids: ids, now: now)
            var result = ReservedPorts(interfaces: [], securityGroups: groups.map(\.name))
            for wanted in listed {
                result.interfaces.append(try reserve(wanted, reservation, groups, now: now, &state))
            }
            return result
        }
    }

    private func reserve(
        _ wanted: PortReservation.Network, _ reservation: PortReservation, _ groups: [SecurityGroup], now: Date,
        _ state: inout State
    ) throws -> NetworkInterface {
        var port: Port
        if let id = wanted.portID {
            guard let found = state.ports.first(where: { $0.id == id }), found.projectID == reservation.projectID else {
                throw PortReservationError.portNotFound(id)
            }
            guard found.deviceID.isEmpty else { throw PortReservationError.portInUse(id) }
            port = found
            state.ports.removeAll { $0.id == id }
        } else {
            guard let id = wanted.networkID,
                let network = state.networks.first(where: { $0.id == id }),
                network.isShared || network.projectID == reservation.projectID || reservation.isAdmin
            else { throw PortReservationError.networkNotFound(wanted.networkID ?? ids.next()) }
            port = Port(
                id: ids.next(), networkID: id, projectID: reservation.projectID, name: "",
                macAddress: MACAddress.random(ids), addresses: [], securityGroupIDs: groups.map(\.id), createdAt: now)
            port.isOwnedByServer = true
            let request = AddressRequest(address: wanted.fixedAddress.flatMap { IPv4Address($0) })
            do throws(NetworkError) {
                port.addresses = [try state.assign(request, on: id, besides: [])]
            } catch {
                throw Self.reservationError(error)
            }
        }
        port.deviceID = reservation.serverID.description
        port.deviceOwner = Port.computeOwner
        state.ports.append(port)
        return state.interface(port, groups: groups, tag: wanted.tag)
    }

    package func release(_ server: ServerID) {
        state.withLock { state in
            state.ports.removeAll { $0.deviceID == server.description && $0.isOwnedByServer }
            for index in state.ports.indices where state.ports[index].deviceID == server.description {
                state.ports[index].deviceID = ""
                state.ports[index].deviceOwner = ""
            }
        }
    }

    private static func reservationError(_ error: NetworkError) -> any Error {
        switch error {
        case .noMoreAddresses(let id): PortReservationError.noMoreAddresses(id)
        case .addressInUse(let address): PortReservationError.addressInUse(address)
        case .invalidAddress(let address): PortReservationError.invalidAddress(address)
        default: error
        }
    }
}

extension InMemoryNetworkStore.State {
    mutating func groups(
        _ reservation: PortReservation, ids: any IDSource, now: Date
    ) throws -> [SecurityGroup] {
        _ = defaultGroup(of: reservation.projectID, ids: ids, now: now)
        let own = groups.filter { $0.projectID == reservation.projectID }
        guard !reservation.securityGroups.isEmpty else { return own.filter(\.isDefault) }
        return try reservation.securityGroups.map { name in
            guard let group = own.first(where: { $0.name == name || $0.id.description == name }) else {
                throw PortReservationError.securityGroupNotFound(name)
            }
            return group
        }
    }

    func interface(_ port: Port, groups: [SecurityGroup], tag: String?) -> NetworkInterface {
        let network = networks.first { $0.id == port.networkID }
        let own = subnets.filter { $0.networkID == port.networkID }
        return NetworkInterface(
            portID: port.id, networkID: port.networkID, networkName: network?.name ?? "", macAddress: port.macAddress,
            addresses: port.addresses.map { address in
                let subnet = own.first { $0.id == address.subnetID }
                return .init(
                    subnetID: address.subnetID, address: address.address.description,
                    prefixLength: subnet?.prefix.length ?? 32, gateway: subnet?.gateway?.description,
                    nameServers: subnet?.nameServers ?? [])
            }, mtu: network?.mtu ?? 0, securityRules: SecurityGroup.flatten(groups, prefixes: own.map(\.prefix)),
            tag: tag, isOwned: port.isOwnedByServer)
    }

    func assign(
        _ request: AddressRequest, on network: NetworkID, besides own: [Port.Address]
    ) throws(NetworkError) -> Port.Address {
        var candidates = subnets.filter { $0.networkID == network }
        if let id = request.subnetID {
            candidates = candidates.filter { $0.id == id }
            if candidates.isEmpty { throw .subnetNotFound(id) }
        }
        let taken = Set(ports.flatMap(\.addresses) + own)
        if let address = request.address {
            guard let subnet = candidates.first(where: { $0.prefix.hosts.contains(address) }) else {
                throw .invalidAddress(address.description)
            }
            let wanted = Port.Address(subnetID: subnet.id, address: address)
            guard !taken.contains(wanted), address != subnet.gateway else { throw .addressInUse(address.description) }
            return wanted
        }
        for subnet in candidates {
            for pool in subnet.pools {
                for bits in pool.first.bits...pool.last.bits {
                    let candidate = Port.Address(subnetID: subnet.id, address: IPv4Address(bits: bits))
                    if !taken.contains(candidate) { return candidate }
                }
            }
        }
        throw .noMoreAddresses(network)
    }
}
