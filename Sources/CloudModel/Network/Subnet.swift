package import FoundationEssentials

/// A block of IPv4 addresses of a network and how its guests are told of it.
package struct Subnet: Sendable, Equatable {
    package struct Pool: Codable, Sendable, Hashable {
        package var first: IPv4Address
        package var last: IPv4Address
        package init(first: IPv4Address, last: IPv4Address) {
            self.first = first
            self.last = last
        }
    }

    package var id: SubnetID
    package var networkID: NetworkID
    package var projectID: ProjectID
    package var name: String
    package var description: String
    package var prefix: IPv4Prefix
    package var gateway: IPv4Address?
    /// Where ports get their addresses from, ascending, without overlap, without the gateway.
    package var pools: [Pool]
    package var nameServers: [String]
    package var isDHCPEnabled: Bool
    package var createdAt: Date
    package var updatedAt: Date
    package var revision: Int

    package init(
        id: SubnetID, networkID: NetworkID, projectID: ProjectID, name: String, description: String = "",
        prefix: IPv4Prefix, gateway: IPv4Address?, pools: [Pool]? = nil, nameServers: [String] = [],
        isDHCPEnabled: Bool = true, createdAt: Date
    ) {
        self.id = id
        self.networkID = networkID
        self.projectID = projectID
        self.name = name
        self.description = description
        self.prefix = prefix
        self.gateway = gateway
        self.pools = pools ?? Self.standardPools(prefix, gateway: gateway)
        self.nameServers = nameServers
        self.isDHCPEnabled = isDHCPEnabled
        self.createdAt = createdAt
        self.updatedAt = createdAt
        self.revision = 0
    }

    /// The first host address, as gateways usually have.
    package static func standardGateway(_ prefix: IPv4Prefix) -> IPv4Address { prefix.hosts.lowerBound }

    /// Everything that hosts can have, without the gateway.
    package static func standardPools(_ prefix: IPv4Prefix, gateway: IPv4Address?) -> [Pool] {
        let hosts = prefix.hosts
        guard let gateway, hosts.contains(gateway) else {
            return [Pool(first: hosts.lowerBound, last: hosts.upperBound)]
        }
        var pools: [Pool] = []
        if gateway > hosts.lowerBound {
            pools.append(Pool(first: hosts.lowerBound, last: IPv4Address(bits: gateway.bits - 1)))
        }
        if gateway < hosts.upperBound {
            pools.append(Pool(first: IPv4Address(bits: gateway.bits + 1), last: hosts.upperBound))
        }
        return pools
    }
}

extension IPv4Address: Codable {
    package init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let address = IPv4Address(text) else {
            throw DecodingError.dataCorrupted(
                .init(codingPath: decoder.codingPath, debugDescription: "not an IPv4 address"))
        }
        self = address
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
