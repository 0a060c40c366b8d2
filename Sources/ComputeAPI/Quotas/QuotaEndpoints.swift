import CloudModel
import HTTPKit
import HTTPTypes
import Hummingbird
import Primitives

/// `/os-quota-sets` and the read side of `/os-quota-class-sets`.
struct QuotaEndpoints: ComputeEndpoints {
    private let directory: any DirectoryStore
    private let quotas: any ComputeQuotaStore

    init(_ dependencies: ComputeDependencies) {
        directory = dependencies.directory
        quotas = dependencies.quotas
    }

    var routes: [ComputeRoute] {
        [
            ComputeRoute(.get, "os-quota-sets/{id}", .reader, show),
            ComputeRoute(.get, "os-quota-sets/{id}/detail", .reader, detail),
            ComputeRoute(.get, "os-quota-sets/{id}/defaults", .any) { request in
                Self.response(ComputeQuota.standard, request)
            },
            ComputeRoute(.put, "os-quota-sets/{id}", .admin, update),
            ComputeRoute(.delete, "os-quota-sets/{id}", .admin, reset),
            ComputeRoute(.get, "os-quota-class-sets/{id}", .admin) { request in
                try request.checkQuery([], strictFrom: 102)
                return .json(["quota_class_set": .object(Self.classMembers(request))])
            },
        ]
    }

    private func show(_ request: ComputeRequest) async throws -> Response {
        let quota = try await quotas.quota(of: try project(request))
        return Self.response(quota, request)
    }

    private func detail(_ request: ComputeRequest) async throws -> Response {
        let project = try project(request)
        let quota = try await quotas.quota(of: project)
        let usage = try await directory.usage(of: project)
        let used = ["instances": usage.instances, "cores": usage.cores, "ram": usage.memoryMiB]
        var members = Self.members(quota, request, id: nil).reduce(into: [String: JSONValue]()) { result, member in
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
        var quota = try await quotas.quota(of: project)
        quota.instances = try Self.limit(&body, "instances") ?? quota.instances
        quota.cores = try Self.limit(&body, "cores") ?? quota.cores
        quota.memoryMiB = try Self.limit(&body, "ram") ?? quota.memoryMiB
        quota.keyPairs = try Self.limit(&body, "key_pairs") ?? quota.keyPairs
        quota.metadataItems = try Self.limit(&body, "metadata_items") ?? quota.metadataItems
        quota.serverGroups = try Self.limit(&body, "server_groups") ?? quota.serverGroups
        quota.serverGroupMembers = try Self.limit(&body, "server_group_members") ?? quota.serverGroupMembers
        let force = try body.looseBool("force") ?? false
        if let named = try body.string("tenant_id"), named != request.id {
            throw body.invalid("tenant_id", .string(named), "is not the project of the URL")
        }
        // What other services limit, or nobody any more: taken and ignored.
        for name in Self.retired(request.version) { _ = try Self.limit(&body, name) }
        try body.finish()
        if !force { try await checkUsage(quota, project) }
        try await quotas.set(quota, of: project)
        return .json(["quota_set": .object(Self.members(quota, request, id: nil))])
    }

    /// Limits below what is in use need `force`.
    private func checkUsage(_ quota: ComputeQuota, _ project: ProjectID) async throws {
        let usage = try await directory.usage(of: project)
        let parts = [
            ("instances", quota.instances, usage.instances), ("cores", quota.cores, usage.cores),
            ("ram", quota.memoryMiB, usage.memoryMiB),
        ]
        for (name, limit, used) in parts where limit >= 0 && limit < used {
            throw APIFault.badRequest(
                "Quota limit \(limit) for \(name) must be greater than or equal to already used \(used).")
        }
    }

    private func reset(_ request: ComputeRequest) async throws -> Response {
        try await quotas.reset(ProjectID(request.id))
        return .empty(.accepted)
    }

    private func project(_ request: ComputeRequest) throws(APIFault) -> ProjectID {
        try request.checkQuery(["user_id"], strictFrom: 75)
        guard request.isAdmin || request.id == request.project.text else { throw request.forbidden() }
        return ProjectID(request.id)
    }

    private static func limit(_ body: inout JSONObjectReader, _ name: String) throws(APIFault) -> Int? {
        try body.integer(name, in: -1...2_147_483_647, acceptsText: true)
    }

    private static let networkResources = ["floating_ips", "fixed_ips", "security_groups", "security_group_rules"]

    private static func retired(_ version: Int) -> [String] {
        (version < 36 ? networkResources : [])
            + (version < 57 ? ["injected_files", "injected_file_content_bytes", "injected_file_path_bytes"] : [])
    }

    private static func response(_ quota: ComputeQuota, _ request: ComputeRequest) -> Response {
        .json(["quota_set": .object(members(quota, request, id: request.id))])
    }

    /// Classes got server groups late and kept the network's limits longer than projects did.
    private static func classMembers(_ request: ComputeRequest) -> [String: JSONValue] {
        var members = members(ComputeQuota.standard, request, id: request.id)
        if request.version < 50 {
            for name in ["server_groups", "server_group_members"] { members[name] = nil }
            for name in networkResources { members[name] = -1 }
        }
        return members
    }

    private static func members(
        _ quota: ComputeQuota, _ request: ComputeRequest, id: String?
    ) -> [String: JSONValue] {
        var members: [String: JSONValue] = [
            "instances": JSONValue(quota.instances), "cores": JSONValue(quota.cores),
            "ram": JSONValue(quota.memoryMiB), "key_pairs": JSONValue(quota.keyPairs),
            "metadata_items": JSONValue(quota.metadataItems), "server_groups": JSONValue(quota.serverGroups),
            "server_group_members": JSONValue(quota.serverGroupMembers),
        ]
        for name in retired(request.version) { members[name] = -1 }
        if let id { members["id"] = .string(id) }
        return members
    }
}
