import CloudModel
import HTTPKit
import HTTPTypes
import Hummingbird
import Primitives

/// `GET /limits`: a project's limits with what it uses of them.
struct LimitEndpoints: ComputeEndpoints {
    private let directory: any DirectoryStore
    private let quotas: any ComputeQuotaStore
    private let serverGroups: any ServerGroupStore

    init(_ dependencies: ComputeDependencies) {
        directory = dependencies.directory
        quotas = dependencies.quotas
        serverGroups = dependencies.serverGroups
    }

    var routes: [ComputeRoute] { [ComputeRoute(.get, "limits", .any, show)] }

    private func show(_ request: ComputeRequest) async throws -> Response {
        try request.checkQuery(["reserved", "tenant_id"], strictFrom: 75)
        var project = request.project
        if let other = request.query["tenant_id"], other != project.text {
            guard request.isAdmin else { throw request.forbidden() }
            project = ProjectID(other)
        }
        let quota = try await quotas.quota(of: project)
        let usage = try await directory.usage(of: project)
        let groups = try await serverGroups.groupCount(of: project, user: nil)
        var absolute: [String: JSONValue] = [
            "maxTotalInstances": JSONValue(quota.instances), "maxTotalCores": JSONValue(quota.cores),
            "maxTotalRAMSize": JSONValue(quota.memoryMiB), "maxTotalKeypairs": JSONValue(quota.keyPairs),
            "maxServerMeta": JSONValue(quota.metadataItems), "maxServerGroups": JSONValue(quota.serverGroups),
            "maxServerGroupMembers": JSONValue(quota.serverGroupMembers),
            "totalInstancesUsed": JSONValue(usage.instances), "totalCoresUsed": JSONValue(usage.cores),
            "totalRAMUsed": JSONValue(usage.memoryMiB), "totalServerGroupsUsed": JSONValue(groups),
        ]
        if request.version < 36 {
            for name in ["maxTotalFloatingIps", "maxSecurityGroups", "maxSecurityGroupRules"] { absolute[name] = -1 }
            for name in ["totalFloatingIpsUsed", "totalSecurityGroupsUsed"] { absolute[name] = 0 }
        }
        if request.version < 39 { absolute["maxImageMeta"] = JSONValue(quota.metadataItems) }
        if request.version < 57 {
            for name in ["maxPersonality", "maxPersonalitySize"] { absolute[name] = 0 }
        }
        return .json(["limits": ["rate": [], "absolute": .object(absolute)]])
    }
}
