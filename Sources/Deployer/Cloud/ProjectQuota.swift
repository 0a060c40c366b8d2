import Primitives
import Topology

/// A project's limits, which the compute and the network API each keep a part of.
struct ProjectQuota: Sendable {
    let client: CloudClient
    /// The project's id.
    let project: String

    private static let computeNames = [
        "instances": "instances", "vcpus": "cores", "memoryMiB": "ram", "keyPairs": "key_pairs",
    ]
    private static let networkNames = ["networks": "network", "ports": "port"]

    private var computePath: String { "/compute/v2.1/os-quota-sets/\(project)" }
    private var networkPath: String { "/network/v2.0/quotas/\(project)" }

    /// The limits of `wanted` as they are, as ``Topology/Quota/attributes`` writes them.
    func attributes(_ wanted: Topology.Quota) async throws -> [String: String] {
        let names = Self.names(in: wanted)
        var found: [String: String] = [:]
        for (path, key, known) in [
            (computePath, "quota_set", Self.computeNames), (networkPath, "quota", Self.networkNames),
        ] where !names.isDisjoint(with: known.keys) {
            let limits = try await client.json(.get, path)[key]
            for (name, wire) in known where names.contains(name) {
                found[Topology.Quota.attributePrefix + name] = limits?[wire]?.integer.map { String($0) } ?? ""
            }
        }
        return found
    }

    /// Sets the limits of `wanted` even where more is in use: nothing that runs is taken away.
    func set(_ wanted: Topology.Quota) async throws {
        let limits = [
            "instances": wanted.instances, "vcpus": wanted.vcpus, "memoryMiB": wanted.memoryMiB,
            "keyPairs": wanted.keyPairs, "networks": wanted.networks, "ports": wanted.ports,
        ].compactMapValues { $0 }
        for (path, key, known) in [
            (computePath, "quota_set", Self.computeNames), (networkPath, "quota", Self.networkNames),
        ] {
            var members: [String: JSONValue] = [:]
            for (name, wire) in known { if let limit = limits[name] { members[wire] = .integer(Int64(limit)) } }
            guard !members.isEmpty else { continue }
            members["force"] = .bool(true)
            _ = try await client.json(.put, path, body: .object([key: .object(members)]))
        }
    }

    private static func names(in quota: Topology.Quota) -> Set<String> {
        Set(quota.attributes.keys.map { String($0.dropFirst(Topology.Quota.attributePrefix.count)) })
    }
}
