package import FoundationEssentials
package import Primitives

/// A server as its cell keeps it: one document, with everything that the API shows and the agent needs.
///
/// Before it has a cell it lives in the root inside its build request, in the same shape.
package struct Instance: Codable, Sendable, Equatable {
    package var id: ServerID
    package var projectID: ProjectID
    package var userID: UserID
    /// The API's `name`.
    package var name: String
    /// The name the guest gives itself; a DNS label made from `name`.
    package var hostname: String
    package var description: String?
    package var state: ServerState
    /// Grows by one with every change; guards the directory against events that arrive late.
    package var version: Int64
    /// Which attempt to build this is: a report with an older epoch is answered with `undo`.
    package var epoch: Int
    package var flavor: Flavor
    package var image: ImageReference?
    package var keyName: String?
    /// The zone the user asked for or, once placed, the host's.
    package var availabilityZone: String?
    /// The zone the user asked for, kept when a host's takes its place above.
    package var pinnedAvailabilityZone: String?
    /// `os:scheduler_hints` as sent.
    package var schedulerHints: JSONValue?
    package var host: HostName?
    package var metadata: [String: String]
    package var tags: [String]
    package var interfaces: [NetworkInterface]
    /// Names, as the API shows them.
    package var securityGroups: [String]
    /// Base64 text as the user sent it.
    package var userData: String?
    package var isConfigDriveWanted: Bool
    package var diskConfig: String
    package var accessIPv4: String?
    package var accessIPv6: String?
    package var isLocked: Bool
    package var lockedReason: String?
    package var reservationID: String
    package var launchIndex: Int
    package var createdAt: Date
    package var updatedAt: Date
    package var launchedAt: Date?
    package var terminatedAt: Date?
    package var fault: InstanceFault?

    package init(
        id: ServerID, projectID: ProjectID, userID: UserID, name: String, hostname: String, flavor: Flavor,
        image: ImageReference?, reservationID: String, createdAt: Date
    ) {
        self.id = id
        self.projectID = projectID
        self.userID = userID
        self.name = name
        self.hostname = hostname
        self.state = .scheduling
        self.version = 1
        self.epoch = 0
        self.flavor = flavor
        self.image = image
        self.metadata = [:]
        self.tags = []
        self.interfaces = []
        self.securityGroups = []
        self.isConfigDriveWanted = true
        self.diskConfig = "MANUAL"
        self.isLocked = false
        self.reservationID = reservationID
        self.launchIndex = 0
        self.createdAt = createdAt
        self.updatedAt = createdAt
    }

    package static let rootDeviceName = "/dev/vda"
}

/// The image a server was made from, as known when it was accepted.
package struct ImageReference: Codable, Sendable, Hashable {
    package var id: ImageID
    package var name: String
    /// Bytes of the stored file.
    package var sizeBytes: Int64
    /// Hexadecimal SHA-512 of the stored file: the agent verifies what it fetched.
    package var sha512: String
    /// `raw` or `qcow2`.
    package var diskFormat: String
    package var properties: [String: String]

    package init(
        id: ImageID, name: String, sizeBytes: Int64, sha512: String, diskFormat: String,
        properties: [String: String] = [:]
    ) {
        self.id = id
        self.name = name
        self.sizeBytes = sizeBytes
        self.sha512 = sha512
        self.diskFormat = diskFormat
        self.properties = properties
    }
}

/// Why a server is in ERROR, safe for its user to read.
package struct InstanceFault: Codable, Sendable, Hashable {
    /// As HTTP's status would be: 500 unless known better.
    package var code: Int
    package var message: String
    /// For administrators only.
    package var details: String?
    package var createdAt: Date

    package init(code: Int = 500, message: String, details: String? = nil, createdAt: Date) {
        self.code = code
        self.message = message
        self.details = details
        self.createdAt = createdAt
    }
}

/// A server's network card: everything a host needs to realise it, resolved when the request was accepted.
package struct NetworkInterface: Codable, Sendable, Hashable {
    package struct FixedAddress: Codable, Sendable, Hashable {
        package var subnetID: SubnetID
        /// Dotted IPv4 text.
        package var address: String
        package var prefixLength: Int
        package var gateway: String?
        package var nameServers: [String]

        package init(subnetID: SubnetID, address: String, prefixLength: Int, gateway: String?, nameServers: [String]) {
            self.subnetID = subnetID
            self.address = address
            self.prefixLength = prefixLength
            self.gateway = gateway
            self.nameServers = nameServers
        }
    }

    package var portID: PortID
    package var networkID: NetworkID
    package var networkName: String
    /// Lower-case, colon-separated.
    package var macAddress: String
    package var addresses: [FixedAddress]
    package var mtu: Int
    package var securityRules: [SecurityRule]
    package var tag: String?
    /// Whether the port goes when the server goes (the server's creation made it).
    package var isOwned: Bool

    package init(
        portID: PortID, networkID: NetworkID, networkName: String, macAddress: String, addresses: [FixedAddress],
        mtu: Int = 1450, securityRules: [SecurityRule] = [], tag: String? = nil, isOwned: Bool = true
    ) {
        self.portID = portID
        self.networkID = networkID
        self.networkName = networkName
        self.macAddress = macAddress
        self.addresses = addresses
        self.mtu = mtu
        self.securityRules = securityRules
        self.tag = tag
        self.isOwned = isOwned
    }
}

/// One allow rule of a security group, flattened for the host: no rule, no traffic.
package struct SecurityRule: Codable, Sendable, Hashable {
    package enum Direction: String, Codable, Sendable { case ingress, egress }
    package var direction: Direction
    /// `IPv4` or `IPv6`.
    package var etherType: String
    /// `tcp`, `udp`, `icmp`, a number, or nil for any.
    package var ipProtocol: String?
    package var portMinimum: Int?
    package var portMaximum: Int?
    /// CIDR text; nil for any address.
    package var remotePrefix: String?

    package init(
        direction: Direction, etherType: String, ipProtocol: String? = nil, portMinimum: Int? = nil,
        portMaximum: Int? = nil, remotePrefix: String? = nil
    ) {
        self.direction = direction
        self.etherType = etherType
        self.ipProtocol = ipProtocol
        self.portMinimum = portMinimum
        self.portMaximum = portMaximum
        self.remotePrefix = remotePrefix
    }
}
