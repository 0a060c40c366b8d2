import CloudModel
import FoundationEssentials
import HTTPKit
import HTTPTypes
import Hummingbird
import Primitives

/// `/security-groups`. A project's default group is made when the project first looks.
struct SecurityGroupEndpoints: NetworkEndpointGroup {
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
            NetworkRoute(.get, "security-groups", .reader) { request in
                _ = try await store.defaultGroup(of: request.project, ids: ids, now: wallClock.now())
                let groups = try await store.groups(visibleTo: request.scope)
                return try ResourceList(request, "security-groups").response(groups.map(Self.view))
            },
            NetworkRoute(.get, "security-groups/{id}", .reader) { request in
                ResourceList.one("security_group", Self.view(try await find(request)), request)
            },
            NetworkRoute(.post, "security-groups", .member, create),
            NetworkRoute(.put, "security-groups/{id}", .member, update),
            NetworkRoute(.delete, "security-groups/{id}", .member) { request in
                let group = try await find(request)
                try request.mayChange(group.projectID)
                try await store.deleteGroup(group.id)
                return .empty()
            },
        ]
    }

    private func find(_ request: NetworkRequest) async throws -> SecurityGroup {
        guard let id = SecurityGroupID(request.id),
            let group = try await store.groups(visibleTo: request.scope, ids: [id]).first
        else { throw NetworkFaults.group(request.id) }
        return group
    }

    private func create(_ request: NetworkRequest) async throws -> Response {
        var body = try await request.body("security_group")
        let owner = try request.owner(&body)
        let name = try body.requiredString("name", length: 0...255)
        let description = try body.string("description", length: 0...255) ?? ""
        try Self.takeRest(&body)
        try body.finish()
        let now = wallClock.now()
        _ = try await store.defaultGroup(of: owner, ids: ids, now: now)
        guard name != SecurityGroup.defaultName else { throw NetworkError.defaultGroupExists }
        let group = SecurityGroup.fresh(
            id: ids.next(), projectID: owner, name: name, description: description, ids: ids, now: now)
        return ResourceList.one(
            "security_group", Self.view(try await store.insert(group)), request, status: .created)
    }

    private func update(_ request: NetworkRequest) async throws -> Response {
        var body = try await request.body("security_group")
        let name = try body.string("name", length: 0...255)
        let description = try body.string("description", length: 0...255)
        try Self.takeRest(&body)
        try body.finish()
        let group = try await find(request)
        try request.mayChange(group.projectID)
        if let name, name != group.name {
            guard !group.isDefault else {
                throw APIFault.conflict(
                    "Updating default security group not allowed.", type: "SecurityGroupCannotUpdateDefault")
            }
            guard name != SecurityGroup.defaultName else { throw NetworkError.defaultGroupExists }
        }
        let updated = try await store.update(group.id, name: name, description: description, now: wallClock.now())
        return ResourceList.one("security_group", Self.view(updated), request)
    }

    private static func takeRest(_ body: inout JSONObjectReader) throws(APIFault) {
        if try body.looseBool("stateful") == false {
            throw .badRequest("Invalid input for stateful. Reason: security groups are stateful here.")
        }
        try body.takeEmpty(["tags"])
    }

    private static func view(_ group: SecurityGroup) -> [String: JSONValue] {
        [
            "id": .string(group.id.description), "name": .string(group.name),
            "tenant_id": .string(group.projectID.text), "project_id": .string(group.projectID.text),
            "description": .string(group.description), "stateful": true, "shared": false,
            "security_group_rules": .array(group.rules.map { .object(SecurityRuleEndpoints.view($0)) }), "tags": [],
            "created_at": .string(Timestamp.seconds(group.createdAt)),
            "updated_at": .string(Timestamp.seconds(group.updatedAt)), "revision_number": JSONValue(group.revision),
        ]
    }
}
