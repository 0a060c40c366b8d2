import CloudModel
import HTTPKit
import HTTPTypes
import Hummingbird
import Primitives

/// `/quotas`.
struct NetworkQuotaEndpoints: NetworkEndpointGroup {
    private let store: any NetworkStore

    init(_ dependencies: NetworkDependencies) { store = dependencies.store }

    var routes: [NetworkRoute] {
        [
            NetworkRoute(.get, "quotas/{id}", .reader) { request in
                Self.response(try await store.quota(of: try Self.project(request)))
            },
            NetworkRoute(.get, "quotas/{id}/default", .reader) { request in
                _ = try Self.project(request)
                return Self.response(NetworkQuota())
            },
            NetworkRoute(.get, "quotas/{id}/details", .reader, details),
            NetworkRoute(.put, "quotas/{id}", .admin, update),
            NetworkRoute(.delete, "quotas/{id}", .admin) { request in
                try await store.setQuota(NetworkQuota(), of: ProjectID(request.id))
                return .empty()
            },
        ]
    }

    private func details(_ request: NetworkRequest) async throws -> Response {
        let project = try Self.project(request)
        let quota = try await store.quota(of: project)
        let usage = try await store.usage(of: project)
        let members = NetworkResource.allCases.map { resource -> (String, JSONValue) in
            let details: JSONValue = [
                "limit": JSONValue(quota.limit(resource)), "used": JSONValue(usage[resource] ?? 0), "reserved": 0,
            ]
            return (resource.rawValue, details)
        }
        return .json(["quota": .object(Dictionary(members, uniquingKeysWith: { $1 }))])
    }

    private func update(_ request: NetworkRequest) async throws -> Response {
        var body = try await request.body("quota")
        let project = ProjectID(request.id)
        var quota = try await store.quota(of: project)
        for resource in NetworkResource.allCases {
            let limit = try body.integer(resource.rawValue, in: -1...2_147_483_647, acceptsText: true)
            if let limit { quota.overrides[resource] = limit }
        }
        for key in ["tenant_id", "project_id"] { _ = try body.string(key) }
        for key in ["force", "check_limit"] { _ = try body.looseBool(key) }
        try body.finish()
        try await store.setQuota(quota, of: project)
        return Self.response(quota)
    }

    private static func project(_ request: NetworkRequest) throws(APIFault) -> ProjectID {
        guard request.isAdmin || request.id == request.project.text else { throw request.forbidden() }
        return ProjectID(request.id)
    }

    private static func response(_ quota: NetworkQuota) -> Response {
        let members = NetworkResource.allCases.map { ($0.rawValue, JSONValue(quota.limit($0))) }
        return .json(["quota": .object(Dictionary(members, uniquingKeysWith: { $1 }))])
    }
}
