package import FoundationEssentials
package import Primitives

/// The network service's storage. Every write is one transaction; what must hold under concurrency (unique addresses,
/// quotas, nothing deleted that is in use) holds by the store's constraints. Errors of the domain are ``NetworkError``.
///
/// Reads take the project that asks, or nil for all: a project sees what is its own and what is shared. With `ids` only
/// those are answered.
package protocol NetworkStore: Sendable {
    func networks(visibleTo project: ProjectID?, ids: [NetworkID]?) async throws -> [Network]
    func insert(_ network: Network) async throws -> Network
    func update(_ id: NetworkID, _ change: @Sendable (inout Network) -> Void) async throws -> Network
    func deleteNetwork(_ id: NetworkID) async throws

    func subnets(visibleTo project: ProjectID?, ids: [SubnetID]?) async throws -> [Subnet]
    func insert(_ subnet: Subnet) async throws -> Subnet
    func update(_ id: SubnetID, _ change: @Sendable (inout Subnet) -> Void) async throws -> Subnet
    func deleteSubnet(_ id: SubnetID) async throws

    func ports(_ query: PortQuery) async throws -> [Port]
    /// Makes a port with addresses of its own.
    func create(_ draft: PortDraft) async throws -> Port
    func update(_ id: PortID, _ changes: PortChanges, now: Date) async throws -> Port
    func deletePort(_ id: PortID) async throws

    /// The project's group `default`, made now if there is none.
    func defaultGroup(of project: ProjectID, ids: any IDSource, now: Date) async throws -> SecurityGroup
    func groups(visibleTo project: ProjectID?, ids: [SecurityGroupID]?) async throws -> [SecurityGroup]
    func insert(_ group: SecurityGroup) async throws -> SecurityGroup
    func update(
        _ id: SecurityGroupID, name: String?, description: String?, now: Date
    ) async throws -> SecurityGroup
    func deleteGroup(_ id: SecurityGroupID) async throws
    func insert(_ rule: SecurityGroupRule) async throws -> SecurityGroupRule
    func deleteRule(_ id: SecurityRuleID) async throws

    func quota(of project: ProjectID) async throws -> NetworkQuota
    func setQuota(_ quota: NetworkQuota, of project: ProjectID) async throws
    /// How many of each the project has; what is missing is zero.
    func usage(of project: ProjectID) async throws -> [NetworkResource: Int]
}

extension NetworkStore {
    package func networks(visibleTo project: ProjectID?) async throws -> [Network] {
        try await networks(visibleTo: project, ids: nil)
    }

    package func subnets(visibleTo project: ProjectID?) async throws -> [Subnet] {
        try await subnets(visibleTo: project, ids: nil)
    }

    package func groups(visibleTo project: ProjectID?) async throws -> [SecurityGroup] {
        try await groups(visibleTo: project, ids: nil)
    }
}

/// Which ports are wanted. What is nil does not matter.
package struct PortQuery: Sendable, Equatable {
    /// Own ports and those on own networks.
    package var visibleTo: ProjectID?
    package var ids: [PortID]?
    package var networkIDs: [NetworkID]?
    package var deviceIDs: [String]?
    package var projectIDs: [ProjectID]?

    package init(
        visibleTo: ProjectID? = nil, ids: [PortID]? = nil, networkIDs: [NetworkID]? = nil, deviceIDs: [String]? = nil,
        projectIDs: [ProjectID]? = nil
    ) {
        self.visibleTo = visibleTo
        self.ids = ids
        self.networkIDs = networkIDs
        self.deviceIDs = deviceIDs
        self.projectIDs = projectIDs
    }
}

/// An address that a port shall have.
package struct AddressRequest: Sendable, Equatable {
    /// Nil takes the subnet that holds `address`, or any with a free one.
    package var subnetID: SubnetID?
    /// Nil takes a free one.
    package var address: IPv4Address?

    package init(subnetID: SubnetID? = nil, address: IPv4Address? = nil) {
        self.subnetID = subnetID
        self.address = address
    }
}

/// A port to be made: ids and times are chosen, MAC and addresses need not be.
package struct PortDraft: Sendable {
    package var id: PortID
    package var networkID: NetworkID
    package var projectID: ProjectID
    package var name: String
    package var description: String
    package var macAddress: String?
    /// Nil for one address of any subnet of the network, if it has subnets.
    package var addresses: [AddressRequest]?
    package var deviceID: String
    package var deviceOwner: String
    package var securityGroupIDs: [SecurityGroupID]
    package var isPortSecurityEnabled: Bool
    package var isAdminUp: Bool
    package var dnsName: String
    package var createdAt: Date

    package init(id: PortID, networkID: NetworkID, projectID: ProjectID, createdAt: Date) {
        self.id = id
        self.networkID = networkID
        self.projectID = projectID
        self.name = ""
        self.description = ""
        self.deviceID = ""
        self.deviceOwner = ""
        self.securityGroupIDs = []
        self.isPortSecurityEnabled = true
        self.isAdminUp = true
        self.dnsName = ""
        self.createdAt = createdAt
    }
}

/// What shall change of a port; nil leaves it.
package struct PortChanges: Sendable, Equatable {
    package var name: String?
    package var description: String?
    package var addresses: [AddressRequest]?
    package var deviceID: String?
    package var deviceOwner: String?
    package var securityGroupIDs: [SecurityGroupID]?
    package var isPortSecurityEnabled: Bool?
    package var isAdminUp: Bool?
    package var dnsName: String?

    package init() {}
}

package enum NetworkError: Error, Sendable, Equatable {
    case networkNotFound(NetworkID)
    case subnetNotFound(SubnetID)
    case portNotFound(PortID)
    case groupNotFound(String)
    case ruleNotFound(SecurityRuleID)
    case networkInUse(NetworkID)
    case subnetInUse(SubnetID)
    case groupInUse(SecurityGroupID)
    case defaultGroup
    /// A project may have only one group named `default`.
    case defaultGroupExists
    case overlappingSubnet(IPv4Prefix, with: SubnetID)
    case addressInUse(String)
    case macInUse(String)
    /// Not in the subnet, or in none of the network's.
    case invalidAddress(String)
    case noMoreAddresses(NetworkID)
    case ruleExists(SecurityRuleID)
    case overQuota(NetworkResource)
}
