import CloudModel
import FoundationEssentials
import PostgresClient
import Primitives

/// Gives addresses of locked subnets to a port.
///
/// The next address behind the highest that is taken costs one look into the index, and freed addresses rest a while. Only
/// when a pool has been given out to its end are gaps looked for, from a random place on so that the search stays short.
struct AddressAllocator {
    let ids: any IDSource

    /// - Throws: ``NetworkError``.
    func assign(
        _ request: AddressRequest, of subnets: [Subnet], network: NetworkID, to port: PortID,
        in transaction: PostgresTransaction
    ) async throws -> Port.Address {
        var candidates = subnets
        if let id = request.subnetID {
            candidates = subnets.filter { $0.id == id }
            guard !candidates.isEmpty else { throw NetworkError.subnetNotFound(id) }
        }
        if let address = request.address {
            guard let subnet = candidates.first(where: { $0.prefix.hosts.contains(address) }) else {
                throw NetworkError.invalidAddress(address.description)
            }
            guard address != subnet.gateway,
                try await Self.insert(address.bits, subnet.id, port, in: transaction)
            else { throw NetworkError.addressInUse(address.description) }
            return Port.Address(subnetID: subnet.id, address: address)
        }
        for subnet in candidates {
            for pool in subnet.pools {
                guard let free = try await self.free(in: pool, of: subnet.id, transaction),
                    try await Self.insert(free, subnet.id, port, in: transaction)
                else { continue }
                return Port.Address(subnetID: subnet.id, address: IPv4Address(bits: free))
            }
        }
        throw NetworkError.noMoreAddresses(network)
    }

    private func free(
        in pool: Subnet.Pool, of subnet: SubnetID, _ transaction: PostgresTransaction
    ) async throws -> UInt32? {
        let first = Int64(pool.first.bits)
        let last = Int64(pool.last.bits)
        let next: Int64? = try await transaction.query(
            """
            select coalesce(max(address) + 1, \(first)) from network.addresses
            where subnet_id = \(subnet) and address between \(first) and \(last)
            """
        ).scalar()
        if let next, next <= last { return UInt32(truncatingIfNeeded: next) }
        let bytes = ids.uuid().uuid
        let drawn = Int64(bytes.0) << 24 | Int64(bytes.1) << 16 | Int64(bytes.2) << 8 | Int64(bytes.3)
        let random = first + drawn % (last - first + 1)
        for start in [random, first] {
            let gap: Int64? = try await transaction.query(Self.gap(from: start, to: last, subnet)).scalar()
            if let gap { return UInt32(truncatingIfNeeded: gap) }
        }
        return nil
    }

    /// The first free address from `start` on: `start` itself or one that follows a taken one.
    private static func gap(from start: Int64, to last: Int64, _ subnet: SubnetID) -> Statement {
        """
        select candidate from (
            select \(start) as candidate where not exists (
                select 1 from network.addresses t where t.subnet_id = \(subnet) and t.address = \(start))
            union all
            (select a.address + 1 from network.addresses a
                where a.subnet_id = \(subnet) and a.address >= \(start) and a.address < \(last) and not exists (
                    select 1 from network.addresses t where t.subnet_id = \(subnet) and t.address = a.address + 1)
                order by a.address limit 1)
        ) gaps order by candidate limit 1
        """
    }

    private static func insert(
        _ address: UInt32, _ subnet: SubnetID, _ port: PortID, in transaction: PostgresTransaction
    ) async throws -> Bool {
        try await transaction.execute(
            """
            insert into network.addresses (subnet_id, address, port_id) values (\(subnet), \(Int64(address)), \(port))
            on conflict on constraint addresses_taken do nothing
            """) > 0
    }
}
