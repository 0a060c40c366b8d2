import CloudModel
import HTTPKit
import HTTPTypes
import Hummingbird
import Primitives

/// What a server has of networks: addresses, interfaces, security groups.
struct ServerNetworkEndpoints: ComputeEndpoints {
    private let networks: any NetworkStore
    private let servers: ServerAccess

    init(_ dependencies: ComputeDependencies, _ servers: ServerAccess) {
        networks = dependencies.networks
        self.servers = servers
    }

    var routes: [ComputeRoute] {
        [
            ComputeRoute(.get, "servers/{id}/ips", .reader, addresses),
            ComputeRoute(.get, "servers/{id}/ips/{sub}", .reader, networkAddresses),
            ComputeRoute(.get, "servers/{id}/os-interface", .reader, interfaces),
            ComputeRoute(.get, "servers/{id}/os-interface/{sub}", .reader, interface),
            ComputeRoute(.get, "servers/{id}/os-security-groups", .reader, securityGroups),
        ]
    }

    private func addresses(_ request: ComputeRequest) async throws -> Response {
        try request.checkQuery([], strictFrom: 102)
        return .json(["addresses": .object(try await plainAddresses(request))])
    }

    private func networkAddresses(_ request: ComputeRequest) async throws -> Response {
        try request.checkQuery([], strictFrom: 102)
        guard let found = try await plainAddresses(request)[request.sub] else {
            throw APIFault.notFound("Network name not found")
        }
        return .json([request.sub: found])
    }

    /// As in the server's own document, without types and MAC addresses.
    private func plainAddresses(_ request: ComputeRequest) async throws -> [String: JSONValue] {
        let document = try await servers.document(try await servers.row(request), request)
        return (document["addresses"]?.object ?? [:]).mapValues { list in
            .array(
                (list.array ?? []).map { entry in
                    ["version": entry["version"] ?? 4, "addr": entry["addr"] ?? ""]
                })
        }
    }

    private func interfaces(_ request: ComputeRequest) async throws -> Response {
        try request.checkQuery([], strictFrom: 102)
        let ports = try await ports(request)
        return .json(["interfaceAttachments": .array(ports.map { Self.attachment($0, request) })])
    }

    private func interface(_ request: ComputeRequest) async throws -> Response {
        try request.checkQuery([], strictFrom: 102)
        let ports = try await ports(request)
        guard let port = ports.first(where: { $0.id.description == request.sub.lowercased() }) else {
            throw APIFault.notFound("Instance does not have port with ID \(request.sub.prefix(255))")
        }
        return .json(["interfaceAttachment": Self.attachment(port, request)])
    }

    private func securityGroups(_ request: ComputeRequest) async throws -> Response {
        try request.checkQuery([], strictFrom: 102)
        let row = try await servers.row(request)
        let ports = try await networks.ports(PortQuery(deviceIDs: [row.summary.id.description]))
        let wanted = Set(ports.flatMap(\.securityGroupIDs))
        let groups = try await networks.groups(visibleTo: nil, ids: Array(wanted))
        let sorted = groups.sorted { ($0.name, $0.id) < ($1.name, $1.id) }
        return .json(["security_groups": .array(sorted.map(Self.group))])
    }

    private func ports(_ request: ComputeRequest) async throws -> [Port] {
        let row = try await servers.row(request)
        return try await networks.ports(PortQuery(deviceIDs: [row.summary.id.description]))
    }

    private static func attachment(_ port: Port, _ request: ComputeRequest) -> JSONValue {
        var members: [String: JSONValue] = [
            "port_state": "ACTIVE", "port_id": .string(port.id.description),
            "net_id": .string(port.networkID.description), "mac_addr": .string(port.macAddress),
            "fixed_ips": .array(
                port.addresses.map { address in
                    [
                        "subnet_id": .string(address.subnetID.description),
                        "ip_address": .string(address.address.description),
                    ]
                }),
        ]
        if request.version >= 70 { members["tag"] = .null }
        return .object(members)
    }

    /// As the compute API has always shown groups: ingress rules only, ports as a range, -1 for any.
    private static func group(_ group: SecurityGroup) -> JSONValue {
        let rules = group.rules.filter { $0.direction == .ingress && $0.etherType == "IPv4" }.map { rule -> JSONValue in
            [
                "id": .string(rule.id.description), "parent_group_id": .string(group.id.description),
                "ip_protocol": JSONValue(rule.ipProtocol), "from_port": JSONValue(rule.portMinimum),
                "to_port": JSONValue(rule.portMaximum),
                "ip_range": rule.remoteGroupID == nil ? ["cidr": .string(rule.remotePrefix ?? "0.0.0.0/0")] : [:],
                "group": rule.remoteGroupID == nil
                    ? [:] : ["name": .string(group.name), "tenant_id": .string(group.projectID.text)],
            ]
        }
        return [
            "id": .string(group.id.description), "name": .string(group.name),
            "description": .string(group.description), "tenant_id": .string(group.projectID.text),
            "rules": .array(rules),
        ]
    }
}
