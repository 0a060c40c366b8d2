/// What a new server wants of the network, resolved inside the transaction that accepts it.
package struct PortReservation: Codable, Sendable, Equatable {
    /// The API's `networks`.
    package enum Choice: Codable, Sendable, Equatable {
        /// No interface at all.
        case none
        /// The project's own network or the shared one, when there is exactly one; none when there is none.
        case automatic
        case listed([Network])
    }

    /// One interface: a port that exists, or a new port on a network.
    package struct Network: Codable, Sendable, Equatable {
        package var networkID: NetworkID?
        package var portID: PortID?
        package var fixedAddress: String?
        package var tag: String?

        package init(
            networkID: NetworkID? = nil, portID: PortID? = nil, fixedAddress: String? = nil, tag: String? = nil
        ) {
            self.networkID = networkID
            self.portID = portID
            self.fixedAddress = fixedAddress
            self.tag = tag
        }
    }

    package var serverID: ServerID
    package var projectID: ProjectID
    package var choice: Choice
    /// Names or ids of the project's groups; empty means `default`.
    package var securityGroups: [String]
    /// Becomes the port's DNS name.
    package var hostname: String
    package var isAdmin: Bool

    package init(
        serverID: ServerID, projectID: ProjectID, choice: Choice, securityGroups: [String], hostname: String,
        isAdmin: Bool
    ) {
        self.serverID = serverID
        self.projectID = projectID
        self.choice = choice
        self.securityGroups = securityGroups
        self.hostname = hostname
        self.isAdmin = isAdmin
    }
}

/// Complete interfaces for one server, and its groups as the API shows them.
package struct ReservedPorts: Sendable, Equatable {
    package var interfaces: [NetworkInterface]
    package var securityGroups: [String]

    package init(interfaces: [NetworkInterface], securityGroups: [String]) {
        self.interfaces = interfaces
        self.securityGroups = securityGroups
    }
}

package enum PortReservationError: Error, Sendable, Equatable {
    case networkNotFound(NetworkID)
    case portNotFound(PortID)
    case portInUse(PortID)
    case securityGroupNotFound(String)
    case ambiguousSecurityGroup(String)
    /// `automatic` with several networks to choose from.
    case ambiguousNetwork
    case networkHasNoSubnet(NetworkID)
    case noMoreAddresses(NetworkID)
    case addressInUse(String)
    /// Not of the network's subnets.
    case invalidAddress(String)
    case quota(QuotaExceeded)
}
