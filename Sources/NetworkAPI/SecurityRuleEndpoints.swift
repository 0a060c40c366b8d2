import CloudModel
import FoundationEssentials
import HTTPKit
import HTTPTypes
import Hummingbird
import Primitives

/// `/security-group-rules`.
struct SecurityRuleEndpoints: NetworkEndpointGroup {
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
            NetworkRoute(.get, "security-group-rules", .reader) { request in
                _ = try await store.defaultGroup(of: request.project, ids: ids, now: wallClock.now())
                let rules = try await store.groups(visibleTo: request.scope).flatMap(\.rules)
                return try ResourceList(request, "security-group-rules").response(rules.map(Self.view))
            },
            NetworkRoute(.get, "security-group-rules/{id}", .reader) { request in
                ResourceList.one("security_group_rule", Self.view(try await find(request)), request)
            },
            NetworkRoute(.post, "security-group-rules", .member, create),
            NetworkRoute(.delete, "security-group-rules/{id}", .member) { request in
                let rule = try await find(request)
                try request.mayChange(rule.projectID)
                try await store.deleteRule(rule.id)
                return .empty()
            },
        ]
    }

    private func find(_ request: NetworkRequest) async throws -> SecurityGroupRule {
        let id = SecurityRuleID(request.id)
        let rules = id == nil ? [] : try await store.groups(visibleTo: request.scope).flatMap(\.rules)
        guard let rule = rules.first(where: { $0.id == id }) else { throw NetworkFaults.rule(request.id) }
        return rule
    }

    private func create(_ request: NetworkRequest) async throws -> Response {
        var body = try await request.body("security_group_rule")
        let owner = try request.owner(&body)
        let groupText = try body.requiredString("security_group_id", length: 0...255)
        let draft = try RuleDraft(&body)
        try body.finish()
        let group = try await group(groupText, request)
        try request.mayChange(group.projectID)
        if let remote = draft.remoteGroup { _ = try await self.group(remote, request) }
        let rule = SecurityGroupRule(
            id: ids.next(), groupID: group.id, projectID: owner, direction: draft.direction,
            etherType: draft.etherType, ipProtocol: draft.ipProtocol, portMinimum: draft.portMinimum,
            portMaximum: draft.portMaximum, remotePrefix: draft.remotePrefix,
            remoteGroupID: draft.remoteGroup.flatMap { SecurityGroupID($0) }, description: draft.description,
            createdAt: wallClock.now())
        return ResourceList.one(
            "security_group_rule", Self.view(try await store.insert(rule)), request, status: .created)
    }

    private func group(_ text: String, _ request: NetworkRequest) async throws -> SecurityGroup {
        guard let id = SecurityGroupID(text),
            let group = try await store.groups(visibleTo: request.scope, ids: [id]).first
        else { throw NetworkFaults.group(text) }
        return group
    }

    static func view(_ rule: SecurityGroupRule) -> [String: JSONValue] {
        [
            "id": .string(rule.id.description), "security_group_id": .string(rule.groupID.description),
            "tenant_id": .string(rule.projectID.text), "project_id": .string(rule.projectID.text),
            "direction": .string(rule.direction.rawValue), "ethertype": .string(rule.etherType),
            "protocol": JSONValue(rule.ipProtocol), "port_range_min": JSONValue(rule.portMinimum),
            "port_range_max": JSONValue(rule.portMaximum), "remote_ip_prefix": JSONValue(rule.remotePrefix),
            "remote_group_id": JSONValue(rule.remoteGroupID?.description), "remote_address_group_id": .null,
            "normalized_cidr": JSONValue(rule.remotePrefix), "description": .string(rule.description),
            "created_at": .string(Timestamp.seconds(rule.createdAt)),
            "updated_at": .string(Timestamp.seconds(rule.createdAt)), "revision_number": 0,
        ]
    }
}
