import CloudModel
import FoundationEssentials
import HTTPKit
import HTTPTypes
import Hummingbird
import Primitives

/// `/subnets`, IPv4 only.
struct SubnetEndpoints: NetworkEndpointGroup {
    /// Longer prefixes have no room for a gateway and a guest.
    private static let longestPrefix = 30
    private static let shortestPrefix = 8
    private static let nameServerLimit = 5
    private static let poolLimit = 64
    private static let unsupported = [
        "host_routes", "ipv6_ra_mode", "ipv6_address_mode", "subnetpool_id", "use_default_subnetpool", "prefixlen",
        "segment_id", "service_types", "tags", "dns_publish_fixed_ip",
    ]

    private let store: any NetworkStore
    private let ids: any IDSource
    private let wallClock: any WallClock

    init(_ dependencies: NetworkDependencies) {
        store = dependencies.store
        ids = dependencies.ids
        wallClock = dependencies.wallClock
    }

    var routes: [NetworkRoute] {
        [
            NetworkRoute(.get, "subnets", .reader) { request in
                let subnets = try await store.subnets(visibleTo: request.scope)
                return try ResourceList(request, "subnets").response(subnets.map(Self.view))
            },
            NetworkRoute(.get, "subnets/{id}", .reader) { request in
                ResourceList.one("subnet", Self.view(try await find(request)), request)
            },
            NetworkRoute(.post, "subnets", .member, create),
            NetworkRoute(.put, "subnets/{id}", .member, update),
            NetworkRoute(.delete, "subnets/{id}", .member) { request in
                let subnet = try await find(request)
                try request.mayChange(subnet.projectID)
                try await store.deleteSubnet(subnet.id)
                return .empty()
            },
        ]
    }

    private func find(_ request: NetworkRequest) async throws -> Subnet {
        guard let id = SubnetID(request.id),
            let subnet = try await store.subnets(visibleTo: request.scope, ids: [id]).first
        else { throw NetworkFaults.subnet(request.id) }
        return subnet
    }

    private func create(_ request: NetworkRequest) async throws -> Response {
        var body = try await request.body("subnet")
        let owner = try request.owner(&body)
        let networkText = try body.requiredString("network_id", length: 0...255)
        let ipVersion = try body.requiredInteger("ip_version", acceptsText: true)
        guard ipVersion == 4 else {
            throw APIFault.badRequest("Invalid input for ip_version. Reason: '\(ipVersion)' is not in [4].")
        }
        let prefix = try Self.prefix(try body.requiredString("cidr", length: 1...64))
        let change = try Self.change(&body, prefix: prefix)
        try body.finish()
        guard let networkID = NetworkID(networkText),
            let network = try await store.networks(visibleTo: request.scope, ids: [networkID]).first
        else { throw NetworkFaults.network(networkText) }
        try request.mayChange(network.projectID)
        var subnet = Subnet(
            id: ids.next(), networkID: networkID, projectID: owner, name: "", prefix: prefix,
            gateway: Subnet.standardGateway(prefix), createdAt: wallClock.now())
        try change.apply(to: &subnet, isNew: true)
        return ResourceList.one("subnet", Self.view(try await store.insert(subnet)), request, status: .created)
    }

    private func update(_ request: NetworkRequest) async throws -> Response {
        var body = try await request.body("subnet")
        let subnet = try await find(request)
        try request.mayChange(subnet.projectID)
        let change = try Self.change(&body, prefix: subnet.prefix)
        try body.finish()
        var checked = subnet
        try change.apply(to: &checked, isNew: false)
        let wanted = checked
        let now = wallClock.now()
        let updated = try await store.update(subnet.id) { subnet in
            subnet.name = wanted.name
            subnet.description = wanted.description
            subnet.gateway = wanted.gateway
            subnet.pools = wanted.pools
            subnet.nameServers = wanted.nameServers
            subnet.isDHCPEnabled = wanted.isDHCPEnabled
            subnet.updatedAt = now
        }
        return ResourceList.one("subnet", Self.view(updated), request)
    }

    private struct Change {
        enum Gateway { case keep, none, address(IPv4Address) }
        var name: String?
        var description: String?
        var gateway = Gateway.keep
        var pools: [Subnet.Pool]?
        var nameServers: [String]?
        var isDHCPEnabled: Bool?

        func apply(to subnet: inout Subnet, isNew: Bool) throws(APIFault) {
            subnet.name = name ?? subnet.name
            subnet.description = description ?? subnet.description
            switch gateway {
            case .keep: break
            case .none: subnet.gateway = nil
            case .address(let address): subnet.gateway = address
            }
            if let pools {
                subnet.pools = pools
            } else if isNew {
                subnet.pools = Subnet.standardPools(subnet.prefix, gateway: subnet.gateway)
            }
            if let gateway = subnet.gateway,
                let pool = subnet.pools.first(where: { $0.first <= gateway && gateway <= $0.last })
            {
                throw .conflict(
                    "Gateway ip \(gateway) conflicts with allocation pool \(pool.first)-\(pool.last).",
                    type: "GatewayConflictWithAllocationPools")
            }
            subnet.nameServers = nameServers ?? subnet.nameServers
            subnet.isDHCPEnabled = isDHCPEnabled ?? subnet.isDHCPEnabled
        }
    }

    private static func prefix(_ text: String) throws(APIFault) -> IPv4Prefix {
        guard let prefix = IPv4Prefix(text), text.contains("/") else {
            throw .badRequest("Invalid input for cidr. Reason: '\(text.prefix(64))' is not a valid IP subnet.")
        }
        guard (shortestPrefix...longestPrefix).contains(prefix.length) else {
            throw .badRequest(
                "Invalid input for cidr. Reason: prefixes of \(shortestPrefix) to \(longestPrefix) bits can be used.",
                type: "InvalidInput")
        }
        return prefix
    }

    private static func change(_ body: inout JSONObjectReader, prefix: IPv4Prefix) throws(APIFault) -> Change {
        var change = Change()
        change.name = try body.string("name", length: 0...255)
        change.description = try body.string("description", length: 0...255)
        if body.has("gateway_ip") {
            if let text = try body.string("gateway_ip", length: 0...64, nullable: true) {
                guard let address = IPv4Address(text) else { throw invalidAddress("gateway_ip", text) }
                guard prefix.hosts.contains(address) else {
                    throw .badRequest("Gateway \(text) is not valid on subnet \(prefix).", type: "InvalidInput")
                }
                change.gateway = .address(address)
            } else {
                change.gateway = .none
            }
        }
        if var list = try body.objects("allocation_pools", count: 0...poolLimit, nullable: true) {
            change.pools = try pools(&list, prefix: prefix)
        }
        if let servers = try body.array("dns_nameservers", count: 0...nameServerLimit, nullable: true) {
            change.nameServers = try servers.map { server throws(APIFault) in
                guard let text = server.string, IPv4Address(text) != nil else {
                    throw invalidAddress("dns_nameservers", server.string ?? server.text)
                }
                return text
            }
        }
        change.isDHCPEnabled = try body.looseBool("enable_dhcp")
        try body.takeEmpty(unsupported)
        return change
    }

    private static func pools(
        _ list: inout [JSONObjectReader], prefix: IPv4Prefix
    ) throws(APIFault) -> [Subnet.Pool] {
        var pools: [Subnet.Pool] = []
        for index in list.indices {
            let start = try list[index].requiredString("start", length: 1...64)
            let end = try list[index].requiredString("end", length: 1...64)
            try list[index].finish()
            guard let first = IPv4Address(start) else { throw invalidAddress("start", start) }
            guard let last = IPv4Address(end) else { throw invalidAddress("end", end) }
            guard first <= last else {
                throw .badRequest(
                    "The allocation pool \(start)-\(end) is not valid.", type: "InvalidAllocationPool")
            }
            guard prefix.hosts.contains(first), prefix.hosts.contains(last) else {
                throw .badRequest(
                    "The allocation pool \(start)-\(end) spans beyond the subnet cidr \(prefix).",
                    type: "OutOfBoundsAllocationPool")
            }
            pools.append(Subnet.Pool(first: first, last: last))
        }
        pools.sort { $0.first < $1.first }
        for (left, right) in zip(pools, pools.dropFirst()) where left.last >= right.first {
            throw .conflict(
                "Found overlapping allocation pools: \(left.first)-\(left.last) \(right.first)-\(right.last).",
                type: "OverlappingAllocationPools")
        }
        return pools
    }

    private static func invalidAddress(_ key: String, _ text: String) -> APIFault {
        .badRequest("Invalid input for \(key). Reason: '\(text.prefix(64))' is not a valid IP address.")
    }

    private static func view(_ subnet: Subnet) -> [String: JSONValue] {
        [
            "id": .string(subnet.id.description), "name": .string(subnet.name),
            "network_id": .string(subnet.networkID.description), "tenant_id": .string(subnet.projectID.text),
            "project_id": .string(subnet.projectID.text), "description": .string(subnet.description), "ip_version": 4,
            "cidr": .string(subnet.prefix.description), "gateway_ip": JSONValue(subnet.gateway?.description),
            "allocation_pools": .array(
                subnet.pools.map { ["start": .string($0.first.description), "end": .string($0.last.description)] }),
            "dns_nameservers": .array(subnet.nameServers.map { .string($0) }),
            "enable_dhcp": .bool(subnet.isDHCPEnabled), "host_routes": [], "ipv6_ra_mode": .null,
            "ipv6_address_mode": .null, "subnetpool_id": .null, "service_types": [], "tags": [],
            "created_at": .string(Timestamp.seconds(subnet.createdAt)),
            "updated_at": .string(Timestamp.seconds(subnet.updatedAt)), "revision_number": JSONValue(subnet.revision),
        ]
    }
}
