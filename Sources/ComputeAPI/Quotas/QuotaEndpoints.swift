import CloudModel
import HTTPKit
import HTTPTypes
import Hummingbird
import Primitives

/// `/os-quota-sets` and `/os-quota-class-sets`.
struct QuotaEndpoints: ComputeEndpoints {
    private let directory: any DirectoryStore
    private let quotas: any ComputeQuotaStore
    private let serverGroups: any ServerGroupStore

    init(_ dependencies: ComputeDependencies) {
        directory = dependencies.directory
        quotas = dependencies.quotas
        serverGroups = dependencies.serverGroups
    }

    var routes: [ComputeRoute] {
        [
            ComputeRoute(.get, "os-quota-sets/{id}", .reader, show),
            ComputeRoute(.get, "os-quota-sets/{id}/detail", .reader, detail),
            ComputeRoute(.get, "os-quota-sets/{id}/defaults", .any) { request in
                Self.response(try await quotas.defaults(), request)
            },
            ComputeRoute(.put, "os-quota-sets/{id}", .admin, update),
            ComputeRoute(.delete, "os-quota-sets/{id}", .admin, reset),
            ComputeRoute(.get, "os-quota-class-sets/{id}", .admin) { request in
                try request.checkQuery([], strictFrom: 102)
                let quota = try await quotas.quotaClass(request.id)
                return .json(["quota_class_set": .object(Self.classMembers(quota, request, id: request.id))])
            },
            ComputeRoute(.put, "os-quota-class-sets/{id}", .admin, updateClass),
        ]
    }

    private func show(_ request: ComputeRequest) async throws -> Response {
        let project = try project(request)
        return Self.response(try await quotas.quota(of: project, for: Self.user(request)), request)
    }

    private func detail(_ request: ComputeRequest) async throws -> Response {
        let project = try project(request)
        let user = Self.user(request)
        let quota = try await quotas.quota(of: project, for: user)
        let used = try await used(of: project, user)
        var members = Self.members(quota, Self.retired(request.version), id: nil).reduce(into: [String: JSONValue]()) {
            result, member in
            result[member.key] = [
                "limit": member.value, "in_use": JSONValue(used[member.key] ?? 0), "reserved": 0,
            ]
        }
        members["id"] = .string(request.id)
        return .json(["quota_set": .object(members)])
    }

    private func update(_ request: ComputeRequest) async throws -> Response {
        try request.checkQuery(["user_id"], strictFrom: 75)
        var body = try await request.body("quota_set")
        let project = ProjectID(request.id)
        let user = Self.user(request)
        let limits = try Self.limits(&body, Self.retired(request.version))
        let force = try body.looseBool("force") ?? false
        if let named = try body.string("tenant_id"), named != request.id {
            throw body.invalid("tenant_id", .string(named), "is not the project of the URL")
        }
        try body.finish()
        if !force { try await check(limits, project, user) }
        try await quotas.set(limits, of: project, user: user)
        let quota = try await quotas.quota(of: project, for: user)
        return .json(["quota_set": .object(Self.members(quota, Self.retired(request.version), id: nil))])
    }

    private static func limits(
        _ body: inout JSONObjectReader, _ retired: [String]
    ) throws(APIFault) -> QuotaLimits {
        var limits = QuotaLimits()
        limits.instances = try limit(&body, "instances")
        limits.cores = try limit(&body, "cores")
        limits.memoryMiB = try limit(&body, "ram")
        limits.keyPairs = try limit(&body, "key_pairs")
        limits.metadataItems = try limit(&body, "metadata_items")
        limits.serverGroups = try limit(&body, "server_groups")
        limits.serverGroupMembers = try limit(&body, "server_group_members")
        for name in retired {
            if let limit = try limit(&body, name) {
                limits.retired = [name: limit].merging(limits.retired ?? [:]) { $1 }
            }
        }
        return limits
    }

    /// What is counted of a project or of a user in it; nothing is said of key pairs and of members of groups, which count
    /// elsewhere.
    private func used(of project: ProjectID, _ user: UserID?) async throws -> [String: Int] {
        let usage = try await directory.usage(of: project, user: user)
        return [
            "instances": usage.instances, "cores": usage.cores, "ram": usage.memoryMiB,
            "server_groups": try await serverGroups.groupCount(of: project, user: user),
        ]
    }

    /// Limits below what is in use, and a user's above the project's, need `force`.
    private func check(_ limits: QuotaLimits, _ project: ProjectID, _ user: UserID?) async throws {
        let used = try await used(of: project, user)
        let room = user == nil ? nil : try await quotas.quota(of: project)
        for (name, limit, most) in [
            ("instances", limits.instances, room?.instances), ("cores", limits.cores, room?.cores),
            ("ram", limits.memoryMiB, room?.memoryMiB), ("key_pairs", limits.keyPairs, room?.keyPairs),
            ("metadata_items", limits.metadataItems, room?.metadataItems),
            ("server_groups", limits.serverGroups, room?.serverGroups),
            ("server_group_members", limits.serverGroupMembers, room?.serverGroupMembers),
        ] {
            guard let limit else { continue }
            if let used = used[name], limit >= 0, limit < used {
                throw APIFault.badRequest(
                    "Quota limit \(limit) for \(name) must be greater than or equal to already used and reserved "
                        + "\(used).")
            }
            if let most, most >= 0, limit < 0 || limit > most {
                throw APIFault.badRequest("Quota limit \(limit) for \(name) must be less than or equal to \(most).")
            }
        }
    }

    private func updateClass(_ request: ComputeRequest) async throws -> Response {
        guard (1...255).contains(request.id.count) else {
            throw APIFault.badRequest("quota_class_name has \(request.id.count) characters, not 1 to 255.")
        }
        var body = try await request.body("quota_class_set")
        let limits = try Self.limits(&body, Self.retiredOfClasses(request.version))
        try body.finish()
        try await quotas.set(limits, ofClass: request.id)
        let quota = try await quotas.quotaClass(request.id)
        return .json(["quota_class_set": .object(Self.classMembers(quota, request, id: nil))])
    }

    private func reset(_ request: ComputeRequest) async throws -> Response {
        try request.checkQuery(["user_id"], strictFrom: 75)
        try await quotas.reset(ProjectID(request.id), user: Self.user(request))
        return .empty(.accepted)
    }

    private func project(_ request: ComputeRequest) throws(APIFault) -> ProjectID {
        try request.checkQuery(["user_id"], strictFrom: 75)
        guard request.isAdmin || request.id == request.project.text else { throw request.forbidden() }
        return ProjectID(request.id)
    }

    private static func user(_ request: ComputeRequest) -> UserID? { request.query["user_id"].map { UserID($0) } }

    private static func limit(_ body: inout JSONObjectReader, _ name: String) throws(APIFault) -> Int? {
        try body.integer(name, in: -1...2_147_483_647, acceptsText: true)
    }

    private static let networkResources = ["floating_ips", "fixed_ips", "security_groups", "security_group_rules"]

    private static let fileResources = [
        "injected_files", "injected_file_content_bytes", "injected_file_path_bytes",
    ]

    /// What other services limit, or nobody any more.
    private static func retired(_ version: Int) -> [String] {
        (version < 36 ? networkResources : []) + (version < 57 ? fileResources : [])
    }

    /// Classes kept the network's limits longer than projects did.
    private static func retiredOfClasses(_ version: Int) -> [String] {
        (version < 50 ? networkResources : []) + (version < 57 ? fileResources : [])
    }

    private static func response(_ quota: ComputeQuota, _ request: ComputeRequest) -> Response {
        .json(["quota_set": .object(members(quota, retired(request.version), id: request.id))])
    }

    /// Classes got server groups late.
    private static func classMembers(
        _ quota: ComputeQuota, _ request: ComputeRequest, id: String?
    ) -> [String: JSONValue] {
        var members = members(quota, retiredOfClasses(request.version), id: id)
        if request.version < 50 {
            for name in ["server_groups", "server_group_members"] { members[name] = nil }
        }
        return members
    }

    private static func members(_ quota: ComputeQuota, _ retired: [String], id: String?) -> [String: JSONValue] {
        var members: [String: JSONValue] = [
            "instances": JSONValue(quota.instances), "cores": JSONValue(quota.cores),
            "ram": JSONValue(quota.memoryMiB), "key_pairs": JSONValue(quota.keyPairs),
            "metadata_items": JSONValue(quota.metadataItems), "server_groups": JSONValue(quota.serverGroups),
            "server_group_members": JSONValue(quota.serverGroupMembers),
        ]
        for name in retired { members[name] = JSONValue(quota.retired[name] ?? -1) }
        if let id { members["id"] = .string(id) }
        return members
    }
}
