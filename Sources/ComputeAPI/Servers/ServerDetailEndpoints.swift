import CloudModel
import HTTPKit
import HTTPTypes
import Hummingbird
import Primitives

/// The small things below a server: its tags, and lists of what this cloud does not have yet.
struct ServerDetailEndpoints: ComputeEndpoints {
    private let dependencies: ComputeDependencies
    private let servers: ServerAccess

    init(_ dependencies: ComputeDependencies, _ servers: ServerAccess) {
        self.dependencies = dependencies
        self.servers = servers
    }

    var routes: [ComputeRoute] {
        [
            ComputeRoute(.get, "servers/{id}/tags", .reader, versions: 26...Microversion.maximum, tags),
            ComputeRoute(.get, "servers/{id}/tags/{sub}", .reader, versions: 26...Microversion.maximum, tag),
            ComputeRoute(.get, "servers/{id}/os-volume_attachments", .reader, volumes),
            ComputeRoute(.get, "servers/{id}/os-volume_attachments/{sub}", .reader) { request in
                _ = try await servers.row(request)
                throw APIFault.notFound("volume_id not found: \(request.sub.prefix(255))")
            },
            ComputeRoute(.get, "servers/{id}/migrations", .admin, versions: 23...Microversion.maximum) { request in
                _ = try await servers.row(request)
                return .json(["migrations": []])
            },
            ComputeRoute(.get, "servers/{id}/os-server-password", .reader) { request in
                _ = try await servers.row(request)
                return .json(["password": ""])
            },
        ]
    }

    private func tags(_ request: ComputeRequest) async throws -> Response {
        .json(["tags": .array(try await currentTags(request))])
    }

    private func tag(_ request: ComputeRequest) async throws -> Response {
        guard try await currentTags(request).contains(.string(request.sub)) else {
            throw APIFault.notFound("Server \(request.id) has no tag '\(request.sub.prefix(60))'")
        }
        return .empty(.noContent)
    }

    private func currentTags(_ request: ComputeRequest) async throws -> [JSONValue] {
        try await servers.row(request).summary.tags.map { .string($0) }
    }

    private func volumes(_ request: ComputeRequest) async throws -> Response {
        try request.checkQuery(["limit", "offset"], strictFrom: 75)
        _ = try await servers.row(request)
        return .json(["volumeAttachments": []])
    }
}
