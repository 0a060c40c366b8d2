package import FoundationEssentials
package import Primitives

/// A place where something is plugged into a network: it owns a MAC address and IP addresses.
package struct Port: Sendable, Equatable {
    package struct Address: Codable, Sendable, Hashable {
        package var subnetID: SubnetID
        package var address: IPv4Address
        package init(subnetID: SubnetID, address: IPv4Address) {
            self.subnetID = subnetID
            self.address = address
        }
    }

    /// What a server's port has as `device_owner`, before the zone.
    package static let computeOwner = "compute:nova"

    package var id: PortID
    package var networkID: NetworkID
    package var projectID: ProjectID
    package var name: String
    package var description: String
    /// Lower-case, colon-separated.
    package var macAddress: String
    package var addresses: [Address]
    /// Whose it is: a server's id, or text of the user's; empty for nobody's.
    package var deviceID: String
    package var deviceOwner: String
    package var securityGroupIDs: [SecurityGroupID]
    package var isPortSecurityEnabled: Bool
    package var isAdminUp: Bool
    package var dnsName: String
    /// The port goes when its server goes.
    package var isOwnedByServer: Bool
    package var createdAt: Date
    package var updatedAt: Date
    package var revision: Int

    package init(
        id: PortID, networkID: NetworkID, projectID: ProjectID, name: String, macAddress: String, addresses: [Address],
        deviceID: String = "", deviceOwner: String = "", securityGroupIDs: [SecurityGroupID] = [], createdAt: Date
    ) {
        self.id = id
        self.networkID = networkID
        self.projectID = projectID
        self.name = name
        self.description = ""
        self.macAddress = macAddress
        self.addresses = addresses
        self.deviceID = deviceID
        self.deviceOwner = deviceOwner
        self.securityGroupIDs = securityGroupIDs
        self.isPortSecurityEnabled = true
        self.isAdminUp = true
        self.dnsName = ""
        self.isOwnedByServer = false
        self.createdAt = createdAt
        self.updatedAt = createdAt
        self.revision = 0
    }
}

/// A MAC address for a new port: OpenStack's prefix and three bytes of chance.
package enum MACAddress {
    package static func random(_ ids: any IDSource) -> String {
        let bytes = ids.uuid().uuid
        return text([0xfa, 0x16, 0x3e, bytes.0 ^ bytes.13, bytes.1 ^ bytes.14, bytes.2 ^ bytes.15])
    }

    /// Six hexadecimal bytes, separated by colons or dashes, as lower-case text with colons; nil for anything else, for
    /// group addresses and for all zeros.
    package static func normalized(_ text: String) -> String? {
        let parts = text.split(omittingEmptySubsequences: false) { $0 == ":" || $0 == "-" }
        let bytes = parts.compactMap { $0.utf8.count == 2 ? UInt8($0, radix: 16) : nil }
        guard bytes.count == 6, parts.count == 6, bytes[0] & 1 == 0, bytes.contains(where: { $0 != 0 }) else {
            return nil
        }
        return Self.text(bytes)
    }

    private static func text(_ bytes: [UInt8]) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
    }
}
