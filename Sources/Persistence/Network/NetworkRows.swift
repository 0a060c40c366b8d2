import CloudModel
import FoundationEssentials
import PostgresClient
import Primitives

/// Rows of the network schema as values.
enum NetworkRows {
    static func network(_ row: Row) throws -> Network {
        var network = Network(
            id: try row.get("id"), projectID: ProjectID(try row.get("project_id")), name: try row.get("name"),
            description: try row.get("description"), isShared: try row.get("is_shared"),
            isAdminUp: try row.get("is_admin_up"), mtu: try row.get("mtu"), createdAt: try row.get("created_at"))
        network.updatedAt = try row.get("updated_at")
        network.revision = try row.get("revision")
        network.subnetIDs = try row.get("subnet_ids")
        return network
    }

    static func subnet(_ row: Row) throws -> Subnet {
        let prefixText: String = try row.get("prefix")
        guard let prefix = IPv4Prefix(prefixText) else { throw StoredValueError(what: "subnet", value: prefixText) }
        let gateway: String? = try row.get("gateway")
        var subnet = Subnet(
            id: try row.get("id"), networkID: try row.get("network_id"),
            projectID: ProjectID(try row.get("project_id")),
            name: try row.get("name"), description: try row.get("description"), prefix: prefix,
            gateway: gateway.flatMap { IPv4Address($0) }, pools: try row.json("pools"),
            nameServers: try row.get("name_servers"), isDHCPEnabled: try row.get("is_dhcp_enabled"),
            createdAt: try row.get("created_at"))
        subnet.updatedAt = try row.get("updated_at")
        subnet.revision = try row.get("revision")
        return subnet
    }

    /// `addresses` comes as two arrays side by side.
    static func port(_ row: Row) throws -> Port {
        let subnets: [SubnetID] = try row.get("subnet_ids")
        let addresses: [Int64] = try row.get("addresses")
        var port = Port(
            id: try row.get("id"), networkID: try row.get("network_id"),
            projectID: ProjectID(try row.get("project_id")),
            name: try row.get("name"), macAddress: try row.get("mac_address"),
            addresses: zip(subnets, addresses).map {
                Port.Address(subnetID: $0, address: IPv4Address(bits: UInt32(truncatingIfNeeded: $1)))
            },
            deviceID: try row.get("device_id"), deviceOwner: try row.get("device_owner"),
            securityGroupIDs: try row.get("group_ids"), createdAt: try row.get("created_at"))
        port.description = try row.get("description")
        port.isPortSecurityEnabled = try row.get("is_port_security_enabled")
        port.isAdminUp = try row.get("is_admin_up")
        port.dnsName = try row.get("dns_name")
        port.isOwnedByServer = try row.get("is_owned_by_server")
        port.updatedAt = try row.get("updated_at")
        port.revision = try row.get("revision")
        return port
    }

    static let selectPorts = """
        select p.*,
            coalesce((select array_agg(a.subnet_id order by a.subnet_id, a.address) from network.addresses a
                where a.port_id = p.id), '{}'::uuid[]) as subnet_ids,
            coalesce((select array_agg(a.address order by a.subnet_id, a.address) from network.addresses a
                where a.port_id = p.id), '{}'::bigint[]) as addresses
        from network.ports p
        """

    static let selectNetworks = """
        select n.*, coalesce((select array_agg(s.id order by s.created_at, s.id) from network.subnets s
            where s.network_id = n.id), '{}'::uuid[]) as subnet_ids
        from network.networks n
        """

    static func group(_ row: Row, rules: [SecurityGroupRule]) throws -> SecurityGroup {
        var group = SecurityGroup(
            id: try row.get("id"), projectID: ProjectID(try row.get("project_id")), name: try row.get("name"),
            description: try row.get("description"), isDefault: try row.get("is_default"), rules: rules,
            createdAt: try row.get("created_at"))
        group.updatedAt = try row.get("updated_at")
        group.revision = try row.get("revision")
        return group
    }

    static func rule(_ row: Row) throws -> SecurityGroupRule {
        let direction: String = try row.get("direction")
        guard let direction = SecurityRule.Direction(rawValue: direction) else {
            throw StoredValueError(what: "rule direction", value: direction)
        }
        var rule = SecurityGroupRule(
            id: try row.get("id"), groupID: try row.get("group_id"), projectID: ProjectID(try row.get("project_id")),
            direction: direction, etherType: try row.get("ether_type"), ipProtocol: try row.get("ip_protocol"),
            portMinimum: try row.get("port_minimum"), portMaximum: try row.get("port_maximum"),
            remotePrefix: try row.get("remote_prefix"), remoteGroupID: try row.get("remote_group_id"),
            createdAt: try row.get("created_at"))
        rule.description = try row.get("description")
        return rule
    }
}
