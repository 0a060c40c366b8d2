import CloudModel
import FoundationEssentials
import PostgresClient
import Primitives

// What rows of the schema `network` are read with, and how they become values.

extension Network {
    static let columns = """
        n.id, n.project_id, n.name, n.description, n.is_shared, n.is_admin_up, n.mtu, n.created_at, n.updated_at,
        n.revision, array(select s.id from network.subnets s where s.network_id = n.id order by s.created_at, s.id)
            as subnet_ids
        """

    init(_ row: Row) throws(PostgresError) {
        self.init(
            id: try row.get("id"), projectID: ProjectID(try row.get("project_id", as: String.self)),
            name: try row.get("name"), description: try row.get("description"), isShared: try row.get("is_shared"),
            isAdminUp: try row.get("is_admin_up"), mtu: try row.get("mtu"), createdAt: try row.get("created_at"))
        updatedAt = try row.get("updated_at")
        revision = try row.get("revision")
        subnetIDs = try row.get("subnet_ids")
    }
}

extension Subnet {
    static let columns = """
        s.id, s.network_id, s.project_id, s.name, s.description, s.prefix, s.gateway, s.pools, s.name_servers,
        s.is_dhcp_enabled, s.created_at, s.updated_at, s.revision
        """

    init(_ row: Row) throws {
        let prefixText: String = try row.get("prefix")
        guard let prefix = IPv4Prefix(prefixText) else {
            throw StoredValueError(what: "subnet's prefix", value: prefixText)
        }
        self.init(
            id: try row.get("id"), networkID: try row.get("network_id"),
            projectID: ProjectID(try row.get("project_id", as: String.self)), name: try row.get("name"),
            description: try row.get("description"), prefix: prefix,
            gateway: try row.get("gateway", as: String?.self).flatMap { IPv4Address($0) },
            pools: try row.json("pools", as: [Pool].self), nameServers: try row.get("name_servers"),
            isDHCPEnabled: try row.get("is_dhcp_enabled"), createdAt: try row.get("created_at"))
        updatedAt = try row.get("updated_at")
        revision = try row.get("revision")
    }
}

extension Port {
    static let columns = """
        p.id, p.network_id, p.project_id, p.name, p.description, p.mac_address, p.device_id, p.device_owner,
        p.group_ids, p.is_port_security_enabled, p.is_admin_up, p.dns_name, p.is_owned_by_server, p.created_at,
        p.updated_at, p.revision,
        array(select a.subnet_id from network.addresses a where a.port_id = p.id order by a.subnet_id, a.address)
            as subnet_ids,
        array(select a.address from network.addresses a where a.port_id = p.id order by a.subnet_id, a.address)
            as addresses
        """

    init(_ row: Row) throws(PostgresError) {
        let subnets: [SubnetID] = try row.get("subnet_ids")
        let addresses: [Int64] = try row.get("addresses")
        self.init(
            id: try row.get("id"), networkID: try row.get("network_id"),
            projectID: ProjectID(try row.get("project_id", as: String.self)), name: try row.get("name"),
            macAddress: try row.get("mac_address"),
            addresses: zip(subnets, addresses).map {
                Address(subnetID: $0, address: IPv4Address(bits: UInt32(truncatingIfNeeded: $1)))
            }, deviceID: try row.get("device_id"), deviceOwner: try row.get("device_owner"),
            securityGroupIDs: try row.get("group_ids"), createdAt: try row.get("created_at"))
        description = try row.get("description")
        isPortSecurityEnabled = try row.get("is_port_security_enabled")
        isAdminUp = try row.get("is_admin_up")
        dnsName = try row.get("dns_name")
        isOwnedByServer = try row.get("is_owned_by_server")
        updatedAt = try row.get("updated_at")
        revision = try row.get("revision")
    }
}

extension SecurityGroup {
    static let columns = """
        g.id, g.project_id, g.name, g.description, g.is_default, g.created_at, g.updated_at, g.revision
        """

    /// Without its rules.
    init(_ row: Row) throws(PostgresError) {
        self.init(
            id: try row.get("id"), projectID: ProjectID(try row.get("project_id", as: String.self)),
            name: try row.get("name"), description: try row.get("description"), isDefault: try row.get("is_default"),
            createdAt: try row.get("created_at"))
        updatedAt = try row.get("updated_at")
        revision = try row.get("revision")
    }

    /// Groups with their rules, from rows of both.
    static func assemble(_ groups: Rows, _ rules: Rows) throws(PostgresError) -> [SecurityGroup] {
        var result: [SecurityGroup] = []
        var indexes: [SecurityGroupID: Int] = [:]
        for row in groups {
            let group = try SecurityGroup(row)
            indexes[group.id] = result.count
            result.append(group)
        }
        for row in rules {
            let rule = try SecurityGroupRule(row)
            if let index = indexes[rule.groupID] { result[index].rules.append(rule) }
        }
        return result
    }
}

extension SecurityGroupRule {
    static let columns = """
        r.id, r.group_id, r.project_id, r.direction, r.ether_type, r.ip_protocol, r.port_minimum, r.port_maximum,
        r.remote_prefix, r.remote_group_id, r.description, r.created_at
        """

    init(_ row: Row) throws(PostgresError) {
        let direction: String = try row.get("direction")
        self.init(
            id: try row.get("id"), groupID: try row.get("group_id"),
            projectID: ProjectID(try row.get("project_id", as: String.self)),
            direction: direction == "egress" ? .egress : .ingress, etherType: try row.get("ether_type"),
            ipProtocol: try row.get("ip_protocol"), portMinimum: try row.get("port_minimum"),
            portMaximum: try row.get("port_maximum"), remotePrefix: try row.get("remote_prefix"),
            remoteGroupID: try row.get("remote_group_id"), description: try row.get("description"),
            createdAt: try row.get("created_at"))
    }
}
