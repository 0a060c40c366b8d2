import CloudModel
import HTTPKit
import HTTPTypes
import Hummingbird
import Primitives

/// `/os-server-groups`: which servers are to be kept together or apart.
struct ServerGroupEndpoints: ComputeEndpoints {
    private static let hardPolicies: [ServerGroup.Policy] = [.antiAffinity, .affinity]

    private let store: any ServerGroupStore
    private let quotas: any ComputeQuotaStore
    private let ids: any IDSource
    private let wallClock: any WallClock

    init(_ dependencies: ComputeDependencies) {
        store = dependencies.serverGroups
        quotas = dependencies.quotas
        ids = dependencies.ids
        wallClock = dependencies.wallClock
    }

    var routes: [ComputeRoute] {
        [
            ComputeRoute(.get, "os-server-groups", .reader, list),
            ComputeRoute(.post, "os-server-groups", .member, create),
            ComputeRoute(.get, "os-server-groups/{id}", .reader, show),
            ComputeRoute(.delete, "os-server-groups/{id}", .member, delete),
        ]
    }

    private func list(_ request: ComputeRequest) async throws -> Response {
        try request.checkQuery(["all_projects", "limit", "offset"], strictFrom: 75)
        let isAll = request.isAdmin && request.query.has("all_projects")
        let groups = try await store.groups(
            of: isAll ? nil : request.project, offset: try request.query.integer("offset") ?? 0,
            limit: try request.page().limit)
        return .json(["server_groups": .array(groups.map { Self.view($0, request) })])
    }

    private func show(_ request: ComputeRequest) async throws -> Response {
        try request.checkQuery([], strictFrom: 102)
        return .json(["server_group": Self.view(try await find(request), request)])
    }

    private func delete(_ request: ComputeRequest) async throws -> Response {
        guard try await store.deleteGroup(try await find(request).id) else { throw Self.notFound(request.id) }
        return .empty(.noContent)
    }

    private func create(_ request: ComputeRequest) async throws -> Response {
        var body = try await request.body("server_group")
        let name = try body.requiredName()
        let policy = try Self.policy(&body, request)
        var serversPerHost: Int?
        if request.version >= 64, var rules = try body.object("rules") {
            serversPerHost = try rules.integer("max_server_per_host", in: 1...2_147_483_647, acceptsText: true)
            try rules.finish()
        }
        try body.finish()
        guard serversPerHost == nil || policy == .antiAffinity else {
            throw APIFault.badRequest("Only anti-affinity policy supports rules.")
        }
        let group = ServerGroup(
            id: ids.next(), projectID: request.project, userID: request.userID, name: name, policy: policy,
            serversPerHost: serversPerHost, createdAt: wallClock.now())
        let limit = try await quotas.quota(of: request.project).serverGroups
        let userLimit = try await quotas.quota(of: request.project, user: request.userID)?.serverGroups
        try await store.insert(group, limit: limit, userLimit: userLimit)
        return .json(["server_group": Self.view(group, request)])
    }

    /// Until 2.63 a list of one; the soft ones came with 2.15.
    private static func policy(
        _ body: inout JSONObjectReader, _ request: ComputeRequest
    ) throws(APIFault) -> ServerGroup.Policy {
        let key = request.version >= 64 ? "policy" : "policies"
        let text: String
        if request.version >= 64 {
            text = try body.requiredString(key)
        } else {
            guard let texts = try body.strings(key) else { throw body.missing(key) }
            guard texts.count == 1, let only = texts.first else {
                throw body.invalid(key, .array(texts.map { .string($0) }), "has not exactly one element")
            }
            text = only
        }
        let known = request.version >= 15 ? ServerGroup.Policy.allCases : hardPolicies
        guard let policy = known.first(where: { $0.rawValue == text }) else {
            throw body.invalid(key, .string(text), "is not one of \(known.map(\.rawValue))")
        }
        return policy
    }

    private func find(_ request: ComputeRequest) async throws -> ServerGroup {
        guard let id = ServerGroupID(request.id), let group = try await store.group(id),
            request.isAdmin || group.projectID == request.project
        else { throw Self.notFound(request.id) }
        return group
    }

    private static func view(_ group: ServerGroup, _ request: ComputeRequest) -> JSONValue {
        var members: [String: JSONValue] = [
            "id": .string(group.id.description), "name": .string(group.name),
            "members": .array(group.members.map { .string($0.description) }),
        ]
        if request.version >= 13 {
            members["project_id"] = .string(group.projectID.text)
            members["user_id"] = .string(group.userID.text)
        }
        if request.version >= 64 {
            members["policy"] = .string(group.policy.rawValue)
            members["rules"] = .object(group.serversPerHost.map { ["max_server_per_host": JSONValue($0)] } ?? [:])
        } else {
            members["policies"] = [.string(group.policy.rawValue)]
            members["metadata"] = [:]
        }
        return .object(members)
    }

    private static func notFound(_ id: String) -> APIFault {
        .notFound("Instance group \(id.prefix(255)) could not be found.")
    }
}
