import CloudModel
import FoundationEssentials
import HTTPKit
import HTTPTypes
import Hummingbird
import Primitives

/// `/ports`.
struct PortEndpoints: NetworkEndpointGroup {
    private static let addressLimit = 5
    private static let unsupported = [
        "allowed_address_pairs", "extra_dhcp_opts", "binding:profile", "binding:host_id", "qos_policy_id",
        "device_profile", "numa_affinity_policy", "hints", "dns_domain", "tags", "propagate_uplink_status",
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
            NetworkRoute(.get, "ports", .reader, list),
            NetworkRoute(.get, "ports/{id}", .reader) { request in
                ResourceList.one("port", Self.view(try await find(request), request), request)
            },
            NetworkRoute(.post, "ports", .member, create),
            NetworkRoute(.put, "ports/{id}", .member, update),
            NetworkRoute(.delete, "ports/{id}", .member) { request in
                try await store.deletePort(try await find(request).id)
                return .empty()
            },
        ]
    }

    /// The filters that are in the store's indexes go there; the rest happens on the rows.
    private func list(_ request: NetworkRequest) async throws -> Response {
        var query = PortQuery(visibleTo: request.scope)
        func values(_ name: String) -> [String]? { request.query.has(name) ? request.query.all(name) : nil }
        query.ids = values("id")?.compactMap { PortID($0) }
        query.networkIDs = values("network_id")?.compactMap { NetworkID($0) }
        query.deviceIDs = values("device_id")
        query.projectIDs = (values("project_id") ?? values("tenant_id"))?.map { ProjectID($0) }
        let ports = try await store.ports(query)
        return try ResourceList(request, "ports").response(ports.map { Self.view($0, request) })
    }

    private func find(_ request: NetworkRequest) async throws -> Port {
        guard let id = PortID(request.id),
            let port = try await store.ports(PortQuery(visibleTo: request.scope, ids: [id])).first
        else { throw NetworkFaults.port(request.id) }
        return port
    }

    private func create(_ request: NetworkRequest) async throws -> Response {
        var body = try await request.body("port")
        let owner = try request.owner(&body)
        let networkText = try body.requiredString("network_id", length: 0...255)
        var draft = PortDraft(
            id: ids.next(), networkID: NetworkID(networkText) ?? ids.next(), projectID: owner,
            createdAt: wallClock.now())
        if let text = try body.string("mac_address", length: 0...64) {
            guard let mac = MACAddress.normalized(text) else {
                throw APIFault.badRequest(
                    "Invalid input for mac_address. Reason: '\(text)' is not a valid MAC address.")
            }
            draft.macAddress = mac
        }
        let changes = try Self.changes(&body)
        try body.finish()
        guard let id = NetworkID(networkText),
            let network = try await store.networks(visibleTo: request.scope, ids: [id]).first
        else { throw NetworkFaults.network(networkText) }
        try Self.checkPolicy(changes, mac: draft.macAddress, network, request)
        draft.name = changes.name ?? ""
        draft.description = changes.description ?? ""
        draft.addresses = changes.addresses
        draft.deviceID = changes.deviceID ?? ""
        draft.deviceOwner = changes.deviceOwner ?? ""
        draft.isAdminUp = changes.isAdminUp ?? true
        draft.isPortSecurityEnabled = changes.isPortSecurityEnabled ?? true
        draft.dnsName = changes.dnsName ?? ""
        draft.securityGroupIDs = try await groups(changes.securityGroupIDs, owner, draft.isPortSecurityEnabled)
        return ResourceList.one(
            "port", Self.view(try await store.create(draft), request), request, status: .created)
    }

    private func update(_ request: NetworkRequest) async throws -> Response {
        var body = try await request.body("port")
        let changes = try Self.changes(&body)
        try body.finish()
        let port = try await find(request)
        guard let network = try await store.networks(visibleTo: nil, ids: [port.networkID]).first else {
            throw NetworkFaults.network(port.networkID.description)
        }
        try Self.checkPolicy(changes, mac: nil, network, request)
        if let wanted = changes.securityGroupIDs { _ = try await groups(wanted, port.projectID, true) }
        let updated = try await store.update(port.id, changes, now: wallClock.now())
        return ResourceList.one("port", Self.view(updated, request), request)
    }

    /// The groups of a port: those named, or the project's default one.
    private func groups(
        _ wanted: [SecurityGroupID]?, _ project: ProjectID, _ isSecured: Bool
    ) async throws -> [SecurityGroupID] {
        guard let wanted else {
            guard isSecured else { return [] }
            return [try await store.defaultGroup(of: project, ids: ids, now: wallClock.now()).id]
        }
        let known = Set(try await store.groups(visibleTo: project, ids: wanted).map(\.id))
        if let missing = wanted.first(where: { !known.contains($0) }) {
            throw NetworkError.groupNotFound(missing.description)
        }
        return wanted
    }

    private static func changes(_ body: inout JSONObjectReader) throws(APIFault) -> PortChanges {
        var changes = PortChanges()
        changes.name = try body.string("name", length: 0...255)
        changes.description = try body.string("description", length: 0...255)
        changes.deviceID = try body.string("device_id", length: 0...255)
        changes.deviceOwner = try body.string("device_owner", length: 0...255)
        changes.dnsName = try body.string("dns_name", length: 0...255)
        changes.isAdminUp = try body.looseBool("admin_state_up")
        changes.isPortSecurityEnabled = try body.looseBool("port_security_enabled")
        if let vnic = try body.string("binding:vnic_type"), vnic != "normal" {
            throw .badRequest("Invalid input for binding:vnic_type. Reason: only 'normal' is supported here.")
        }
        if let texts = try body.strings("security_groups", nullable: true) {
            changes.securityGroupIDs = try texts.map { text throws(APIFault) in
                guard let id = SecurityGroupID(text) else { throw NetworkFaults.group(text) }
                return id
            }
        }
        if let list = try body.objects("fixed_ips", count: 0...addressLimit, nullable: true) {
            changes.addresses = try list.map { entry throws(APIFault) in try address(entry) }
        }
        try body.takeEmpty(unsupported)
        return changes
    }

    private static func address(_ entry: JSONObjectReader) throws(APIFault) -> AddressRequest {
        var entry = entry
        var wanted = AddressRequest()
        if let text = try entry.string("subnet_id", length: 0...255) {
            guard let id = SubnetID(text) else { throw NetworkFaults.subnet(text) }
            wanted.subnetID = id
        }
        if let text = try entry.string("ip_address", length: 0...64) {
            guard let address = IPv4Address(text) else {
                throw .badRequest("Invalid input for fixed_ips. Reason: '\(text)' is not a valid IP address.")
            }
            wanted.address = address
        }
        try entry.finish()
        return wanted
    }

    /// On another project's shared network a user takes the address that comes.
    private static func checkPolicy(
        _ changes: PortChanges, mac: String?, _ network: Network, _ request: NetworkRequest
    ) throws(APIFault) {
        guard !request.isAdmin, network.projectID != request.project else { return }
        let choosesAddress = changes.addresses?.contains { $0.address != nil } ?? false
        let isNetworkDevice = changes.deviceOwner?.hasPrefix("network:") ?? false
        guard !choosesAddress, mac == nil, !isNetworkDevice, changes.isPortSecurityEnabled == nil else {
            throw request.forbidden()
        }
    }

    private static func view(_ port: Port, _ request: NetworkRequest) -> [String: JSONValue] {
        var view: [String: JSONValue] = [
            "id": .string(port.id.description), "name": .string(port.name),
            "network_id": .string(port.networkID.description), "tenant_id": .string(port.projectID.text),
            "project_id": .string(port.projectID.text), "description": .string(port.description),
            "mac_address": .string(port.macAddress), "admin_state_up": .bool(port.isAdminUp),
            "status": port.deviceID.isEmpty ? "DOWN" : "ACTIVE", "device_id": .string(port.deviceID),
            "device_owner": .string(port.deviceOwner),
            "fixed_ips": .array(
                port.addresses.map { address in
                    [
                        "subnet_id": .string(address.subnetID.description),
                        "ip_address": .string(address.address.description),
                    ]
                }), "security_groups": .array(port.securityGroupIDs.map { .string($0.description) }),
            "port_security_enabled": .bool(port.isPortSecurityEnabled), "allowed_address_pairs": [],
            "extra_dhcp_opts": [], "binding:vnic_type": "normal", "dns_name": .string(port.dnsName), "tags": [],
            "created_at": .string(Timestamp.seconds(port.createdAt)),
            "updated_at": .string(Timestamp.seconds(port.updatedAt)), "revision_number": JSONValue(port.revision),
        ]
        if request.isAdmin {
            view["binding:host_id"] = ""
            view["binding:profile"] = [:]
            view["binding:vif_details"] = [:]
            view["binding:vif_type"] = port.deviceID.isEmpty ? "unbound" : "bridge"
        }
        return view
    }
}
