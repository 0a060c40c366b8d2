import CellProtocol
import CloudModel
import FoundationEssentials
import HTTPKit
import HTTPTypes
import Hummingbird
import Primitives

/// `/servers/{id}/metadata`.
struct ServerMetadataEndpoints: ComputeEndpoints {
    private static let path = "servers/{id}/metadata"

    private let servers: ServerAccess
    private let quotas: any ComputeQuotaStore

    init(_ dependencies: ComputeDependencies, _ servers: ServerAccess) {
        self.servers = servers
        quotas = dependencies.quotas
    }

    var routes: [ComputeRoute] {
        [
            ComputeRoute(.get, Self.path, .reader, list),
            ComputeRoute(.post, Self.path, .member, merge),
            ComputeRoute(.put, Self.path, .member, replace),
            ComputeRoute(.get, "\(Self.path)/{sub}", .reader, show),
            ComputeRoute(.put, "\(Self.path)/{sub}", .member, set),
            ComputeRoute(.delete, "\(Self.path)/{sub}", .member, remove),
        ]
    }

    private func list(_ request: ComputeRequest) async throws -> Response {
        try request.checkQuery([], strictFrom: 102)
        let metadata = try await current(try await servers.row(request), request)
        return .json(["metadata": .object(metadata)])
    }

    private func show(_ request: ComputeRequest) async throws -> Response {
        try request.checkQuery([], strictFrom: 102)
        let metadata = try await current(try await servers.row(request), request)
        guard let value = metadata[request.sub] else { throw Self.missing() }
        return .json(["meta": [request.sub: value]])
    }

    private func merge(_ request: ComputeRequest) async throws -> Response {
        let metadata = try await metadata(request)
        return .json(["metadata": .object(try await change(.mergeMetadata(metadata), request))])
    }

    private func replace(_ request: ComputeRequest) async throws -> Response {
        let metadata = try await metadata(request)
        return .json(["metadata": .object(try await change(.replaceMetadata(metadata), request))])
    }

    private func set(_ request: ComputeRequest) async throws -> Response {
        var body = try await request.body()
        guard let meta = try body.textMap("meta") else { throw body.missing("meta") }
        try body.finish()
        try ServerOrder.checkMetadataKeys(meta)
        guard meta.count == 1, let value = meta[request.sub] else {
            throw APIFault.badRequest("Request body and URI mismatch")
        }
        _ = try await change(.mergeMetadata(meta), request)
        return .json(["meta": [request.sub: .string(value)]])
    }

    private func remove(_ request: ComputeRequest) async throws -> Response {
        let row = try await servers.row(request)
        guard try await current(row, request)[request.sub] != nil else { throw Self.missing() }
        try await servers.act(
            .removeMetadata(key: request.sub), verb: "delete metadata", on: row, request)
        return .empty(.noContent)
    }

    private func metadata(_ request: ComputeRequest) async throws -> [String: String] {
        var body = try await request.body()
        guard let metadata = try body.textMap("metadata") else { throw body.missing("metadata") }
        try body.finish()
        try ServerOrder.checkMetadataKeys(metadata)
        return metadata
    }

    private func change(_ action: ServerAction, _ request: ComputeRequest) async throws -> [String: JSONValue] {
        let row = try await servers.row(request)
        let limit = try await quotas.quota(of: row.summary.projectID, for: row.summary.userID).metadataItems
        try await check(action, limit, row, request)
        // The cell checks again, where nobody comes between.
        let rendered = try await servers.act(
            action, verb: "update metadata", on: row, request, view: request.view(.full), metadataLimit: limit)
        guard let rendered else { throw APIFault.internal() }
        return try JSONParser.parse(Array(rendered))["metadata"]?.object ?? [:]
    }

    private func check(
        _ action: ServerAction, _ limit: Int, _ row: DirectoryRow, _ request: ComputeRequest
    ) async throws {
        guard limit >= 0 else { return }
        let count: Int
        switch action {
        case .replaceMetadata(let metadata): count = metadata.count
        case .mergeMetadata(let metadata):
            let known = try await current(row, request)
            count = Set(known.keys).union(metadata.keys).count
        default: return
        }
        guard count <= limit else {
            throw APIFault.forbidden("Maximum number of metadata items exceeds \(limit)")
        }
    }

    private func current(_ row: DirectoryRow, _ request: ComputeRequest) async throws -> [String: JSONValue] {
        try await servers.document(row, request)["metadata"]?.object ?? [:]
    }

    private static func missing() -> APIFault { .notFound("Metadata item was not found") }
}
