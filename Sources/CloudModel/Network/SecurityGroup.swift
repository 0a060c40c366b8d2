package import FoundationEssentials
package import Primitives

/// A named set of allow rules. Every project has one named `default`, made when it is first needed.
package struct SecurityGroup: Sendable, Equatable {
    package static let defaultName = "default"

    package var id: SecurityGroupID
    package var projectID: ProjectID
    package var name: String
    package var description: String
    package var isDefault: Bool
    package var rules: [SecurityGroupRule]
    package var createdAt: Date
    package var updatedAt: Date
    package var revision: Int

    package init(
        id: SecurityGroupID, projectID: ProjectID, name: String, description: String = "", isDefault: Bool = false,
        rules: [SecurityGroupRule] = [], createdAt: Date
    ) {
        self.id = id
        self.projectID = projectID
        self.name = name
        self.description = description
        self.isDefault = isDefault
        self.rules = rules
        self.createdAt = createdAt
        self.updatedAt = createdAt
        self.revision = 0
    }

    /// A group that lets everything out and nothing in.
    package static func fresh(
        id: SecurityGroupID, projectID: ProjectID, name: String, description: String, ids: any IDSource, now: Date
    ) -> SecurityGroup {
        var group = SecurityGroup(id: id, projectID: projectID, name: name, description: description, createdAt: now)
        group.rules = ["IPv4", "IPv6"].map {
            SecurityGroupRule(
                id: ids.next(), groupID: id, projectID: projectID, direction: .egress, etherType: $0, createdAt: now)
        }
        return group
    }

    /// A project's own: everything out, and in what comes from members of the group.
    package static func projectDefault(projectID: ProjectID, ids: any IDSource, now: Date) -> SecurityGroup {
        var group = fresh(
            id: ids.next(), projectID: projectID, name: defaultName, description: "Default security group", ids: ids,
            now: now)
        group.isDefault = true
        group.rules += ["IPv4", "IPv6"].map {
            var rule = SecurityGroupRule(
                id: ids.next(), groupID: group.id, projectID: projectID, direction: .ingress, etherType: $0,
                createdAt: now)
            rule.remoteGroupID = group.id
            return rule
        }
        return group
    }

    /// The rules as a host applies them to a port on subnets `prefixes`.
    ///
    /// A rule about members of a group becomes one about the port's own subnets: hosts are not told when a group gains or
    /// loses members, and addresses outside the subnets can't be members' on this network.
    package static func flatten(_ groups: [SecurityGroup], prefixes: [IPv4Prefix]) -> [SecurityRule] {
        var rules: [SecurityRule] = []
        for rule in groups.flatMap(\.rules) {
            let remotes: [String?] =
                if rule.remoteGroupID == nil { [rule.remotePrefix] } else if rule.etherType == "IPv4" {
                    prefixes.map(\.description)
                } else { [] }
            for remote in remotes {
                let flat = SecurityRule(
                    direction: rule.direction, etherType: rule.etherType, ipProtocol: rule.ipProtocol,
                    portMinimum: rule.portMinimum, portMaximum: rule.portMaximum, remotePrefix: remote)
                if !rules.contains(flat) { rules.append(flat) }
            }
        }
        return rules
    }
}

/// One allow rule as its user wrote it.
package struct SecurityGroupRule: Sendable, Equatable {
    package var id: SecurityRuleID
    package var groupID: SecurityGroupID
    package var projectID: ProjectID
    package var direction: SecurityRule.Direction
    /// `IPv4` or `IPv6`.
    package var etherType: String
    /// A name or a number; nil for any.
    package var ipProtocol: String?
    /// For ICMP the type.
    package var portMinimum: Int?
    /// For ICMP the code.
    package var portMaximum: Int?
    package var remotePrefix: String?
    package var remoteGroupID: SecurityGroupID?
    package var description: String
    package var createdAt: Date

    package init(
        id: SecurityRuleID, groupID: SecurityGroupID, projectID: ProjectID, direction: SecurityRule.Direction,
        etherType: String, ipProtocol: String? = nil, portMinimum: Int? = nil, portMaximum: Int? = nil,
        remotePrefix: String? = nil, remoteGroupID: SecurityGroupID? = nil, description: String = "", createdAt: Date
    ) {
        self.id = id
        self.groupID = groupID
        self.projectID = projectID
        self.direction = direction
        self.etherType = etherType
        self.ipProtocol = ipProtocol
        self.portMinimum = portMinimum
        self.portMaximum = portMaximum
        self.remotePrefix = remotePrefix
        self.remoteGroupID = remoteGroupID
        self.description = description
        self.createdAt = createdAt
    }

    /// Whether both allow the same traffic.
    package func isSameRule(as other: SecurityGroupRule) -> Bool {
        groupID == other.groupID && direction == other.direction && etherType == other.etherType
            && ipProtocol == other.ipProtocol && portMinimum == other.portMinimum && portMaximum == other.portMaximum
            && remotePrefix == other.remotePrefix && remoteGroupID == other.remoteGroupID
    }
}
