import CloudModel
import FoundationEssentials
import HTTPKit
import HTTPTypes
import Hummingbird
import Primitives

/// `/networks`.
struct NetworkEndpoints: NetworkEndpointGroup {
    private static let mtuRange = 68...65_535
    /// What networks can have elsewhere and may be sent as long as it says nothing.
    private static let unsupported = [
        "router:external", "is_default", "availability_zone_hints", "vlan_transparent", "qinq", "qos_policy_id",
        "provider:network_type", "provider:physical_network", "provider:segmentation_id", "segments", "dns_domain",
        "tags",
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
            NetworkRoute(.get, "networks", .reader) { request in
                let networks = try await store.networks(visibleTo: request.scope)
                return try ResourceList(request, "networks").response(networks.map(Self.view))
            },
            NetworkRoute(.get, "networks/{id}", .reader) { request in
                ResourceList.one("network", Self.view(try await find(request)), request)
            },
            NetworkRoute(.post, "networks", .member, create),
            NetworkRoute(.put, "networks/{id}", .member, update),
            NetworkRoute(.delete, "networks/{id}", .member) { request in
                let network = try await find(request)
                try request.mayChange(network.projectID)
                try await store.deleteNetwork(network.id)
                return .empty()
            },
        ]
    }

    private func find(_ request: NetworkRequest) async throws -> Network {
        guard let id = NetworkID(request.id),
            let network = try await store.networks(visibleTo: request.scope, ids: [id]).first
        else { throw NetworkFaults.network(request.id) }
        return network
    }

    private func create(_ request: NetworkRequest) async throws -> Response {
        var body = try await request.body("network")
        var network = Network(
            id: ids.next(), projectID: try request.owner(&body), name: "", createdAt: wallClock.now())
        let change = try Self.change(&body, request)
        try body.finish()
        change.apply(to: &network)
        return ResourceList.one("network", Self.view(try await store.insert(network)), request, status: .created)
    }

    private func update(_ request: NetworkRequest) async throws -> Response {
        var body = try await request.body("network")
        let change = try Self.change(&body, request)
        try body.finish()
        let network = try await find(request)
        try request.mayChange(network.projectID)
        let now = wallClock.now()
        let updated = try await store.update(network.id) { network in
            change.apply(to: &network)
            network.updatedAt = now
        }
        return ResourceList.one("network", Self.view(updated), request)
    }

    private struct Change: Sendable {
        var name: String?
        var description: String?
        var isShared: Bool?
        var isAdminUp: Bool?
        var mtu: Int?

        func apply(to network: inout Network) {
            network.name = name ?? network.name
            network.description = description ?? network.description
            network.isShared = isShared ?? network.isShared
            network.isAdminUp = isAdminUp ?? network.isAdminUp
            network.mtu = mtu ?? network.mtu
        }
    }

    private static func change(_ body: inout JSONObjectReader, _ request: NetworkRequest) throws(APIFault) -> Change {
        var change = Change()
        change.name = try body.string("name", length: 0...255)
        change.description = try body.string("description", length: 0...255)
        change.isShared = try body.looseBool("shared")
        if change.isShared == true && !request.isAdmin { throw request.forbidden() }
        change.isAdminUp = try body.looseBool("admin_state_up")
        if body.has("mtu"), let mtu = try body.integer("mtu", nullable: true, acceptsText: true), mtu != 0 {
            guard mtuRange.contains(mtu) else {
                throw .badRequest("Invalid input for mtu. Reason: '\(mtu)' is not in \(mtuRange).")
            }
            change.mtu = mtu
        }
        if try body.looseBool("port_security_enabled") == false {
            throw .badRequest(
                "Invalid input for port_security_enabled. Reason: ports of all networks are secured here.")
        }
        try body.takeEmpty(unsupported)
        return change
    }

    private static func view(_ network: Network) -> [String: JSONValue] {
        [
            "id": .string(network.id.description), "name": .string(network.name),
            "tenant_id": .string(network.projectID.text), "project_id": .string(network.projectID.text),
            "description": .string(network.description), "admin_state_up": .bool(network.isAdminUp),
            "status": network.isAdminUp ? "ACTIVE" : "DOWN", "shared": .bool(network.isShared),
            "router:external": false, "mtu": JSONValue(network.mtu), "port_security_enabled": true,
            "subnets": .array(network.subnetIDs.map { .string($0.description) }), "availability_zones": [],
            "availability_zone_hints": [], "ipv4_address_scope": .null, "ipv6_address_scope": .null, "tags": [],
            "created_at": .string(Timestamp.seconds(network.createdAt)),
            "updated_at": .string(Timestamp.seconds(network.updatedAt)), "revision_number": JSONValue(network.revision),
        ]
    }
}
