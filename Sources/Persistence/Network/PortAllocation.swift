import CloudModel
import FoundationEssentials
import PostgresClient
import Primitives

/// Takes addresses and MACs inside a transaction. A subnet is locked while addresses are taken from it, so two ports
/// never fight over one; the constraints stand behind that.
struct PortAllocation {
    /// Random MACs that are tried before giving up: 2^24 of them a network make even two unlikely.
    private static let macAttempts = 20

    let transaction: PostgresTransaction

    func isTaken(_ mac: String, on network: NetworkID) async throws -> Bool {
        let count: Int? = try await transaction.query(
            "select count(*) from network.ports where network_id = \(network) and mac_address = \(mac)"
        ).scalar()
        return count != 0
    }

    func freeMAC(on network: NetworkID, ids: any IDSource) async throws -> String {
        for _ in 0..<Self.macAttempts {
            let mac = MACAddress.random(ids)
            if try await !isTaken(mac, on: network) { return mac }
        }
        throw NetworkError.macInUse("any of \(Self.macAttempts) random ones")
    }

    /// What a port without wishes gets: one address, if the network has subnets.
    func requests(_ wished: [AddressRequest]?, on network: NetworkID) async throws -> [AddressRequest] {
        if let wished { return wished }
        let subnets: Int? = try await transaction.query(
            "select count(*) from network.subnets where network_id = \(network)"
        ).scalar()
        return subnets == 0 ? [] : [AddressRequest()]
    }

    func take(_ requests: [AddressRequest], on network: NetworkID, for port: PortID) async throws -> [Port.Address] {
        guard !requests.isEmpty else { return [] }
        let subnets = try await transaction.query(
            "select * from network.subnets where network_id = \(network) order by created_at, id for update"
        ).map(NetworkRows.subnet)
        var taken: [Port.Address] = []
        for request in requests {
            let address = try await choose(request, from: subnets, on: network)
            try await transaction.execute(
                """
                insert into network.addresses (subnet_id, address, port_id)
                values (\(address.subnetID), \(Int64(address.address.bits)), \(port))
                """)
            taken.append(address)
        }
        return taken
    }

    private func choose(
        _ request: AddressRequest, from subnets: [Subnet], on network: NetworkID
    ) async throws -> Port.Address {
        var eligible = subnets
        if let id = request.subnetID {
            eligible = subnets.filter { $0.id == id }
            guard !eligible.isEmpty else { throw NetworkError.subnetNotFound(id) }
        }
        if let address = request.address {
            guard let subnet = eligible.first(where: { $0.prefix.hosts.contains(address) }) else {
                throw NetworkError.invalidAddress(address.description)
            }
            let used: Int? = try await transaction.query(
                """
                select count(*) from network.addresses
                where subnet_id = \(subnet.id) and address = \(Int64(address.bits))
                """
            ).scalar()
            guard used == 0, address != subnet.gateway else { throw NetworkError.addressInUse(address.description) }
            return Port.Address(subnetID: subnet.id, address: address)
        }
        for subnet in eligible {
            for pool in subnet.pools {
                if let address = try await lowestFree(in: pool, of: subnet.id) {
                    return Port.Address(subnetID: subnet.id, address: address)
                }
            }
        }
        throw NetworkError.noMoreAddresses(network)
    }

    /// The pool's first address, or the first after a taken one: both are found by the index.
    private func lowestFree(in pool: Subnet.Pool, of subnet: SubnetID) async throws -> IPv4Address? {
        let (first, last) = (Int64(pool.first.bits), Int64(pool.last.bits))
        let free: Int64? =
            try await transaction.query(
                """
                select min(candidate) from (
                    select \(first)::bigint as candidate
                    where not exists (select 1 from network.addresses a
                        where a.subnet_id = \(subnet) and a.address = \(first))
                    union all
                    (select a.address + 1 from network.addresses a
                    where a.subnet_id = \(subnet) and a.address between \(first) and \(last - 1)
                        and not exists (select 1 from network.addresses b
                            where b.subnet_id = \(subnet) and b.address = a.address + 1)
                    order by a.address limit 1)
                ) as candidates
                """
            ).first?.get(0, as: Int64?.self) ?? nil
        return free.map { IPv4Address(bits: UInt32(truncatingIfNeeded: $0)) }
    }
}
