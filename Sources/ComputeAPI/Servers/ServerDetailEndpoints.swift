import CloudModel
import HTTPKit
import HTTPTypes
import Hummingbird
import Primitives

/// The small things below a server: what was asked of it, its tags, and lists of what this cloud does not have yet.
struct ServerDetailEndpoints: ComputeEndpoints {
    private let dependencies: ComputeDependencies
    private let servers: ServerAccess

    init(_ dependencies: ComputeDependencies, _ servers: ServerAccess) {
        self.dependencies = dependencies
        self.servers = servers
    }

    var routes: [ComputeRoute] {
        [
            ComputeRoute(.get, "servers/{id}/os-instance-actions", .reader, actions),
            ComputeRoute(.get, "servers/{id}/os-instance-actions/{sub}", .reader, action),
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

    private func actions(_ request: ComputeRequest) async throws -> Response {
        let id = try await server(request)
        var actions = try await dependencies.actions.actions(of: id)[...]
        var body: [String: JSONValue] = [:]
        if request.version >= 58 {
            let page = try request.page()
            if let marker = page.marker {
                guard let index = actions.firstIndex(where: { $0.requestID == marker }) else {
                    throw APIFault.badRequest("Marker \(marker.prefix(255)) could not be found.")
                }
                actions = actions[(index + 1)...]
            }
            if let text = request.query["changes-since"] {
                guard let date = Timestamp.parse(text) else {
                    throw APIFault.badRequest("Invalid input for query parameters changes-since.")
                }
                actions = actions.filter { $0.startedAt >= date }[...]
            }
            if actions.count > page.limit {
                actions = actions.prefix(page.limit)
                if let last = actions.last {
                    let link = request.nextLink("servers/\(id)/os-instance-actions", lastID: last.requestID)
                    body["links"] = [["rel": "next", "href": .string(link)]]
                }
            }
        }
        body["instanceActions"] = .array(actions.map { .object(Self.members($0, request)) })
        return .json(.object(body))
    }

    private func action(_ request: ComputeRequest) async throws -> Response {
        let id = try await server(request)
        let found = try await dependencies.actions.actions(of: id).first { $0.requestID == request.sub }
        guard let found else {
            throw APIFault.notFound("Action for request_id \(request.sub.prefix(255)) on instance \(id) not found")
        }
        var members = Self.members(found, request)
        if request.isAdmin || request.version >= 51 { members["events"] = [] }
        return .json(["instanceAction": .object(members)])
    }

    /// From 2.21 on what was asked of a deleted server can still be read, by who asked it.
    private func server(_ request: ComputeRequest) async throws -> ServerID {
        do {
            return try await servers.row(request).summary.id
        } catch let fault as APIFault where fault.status == .notFound && request.version >= 21 {
            guard let id = ServerID(request.id), let newest = try await dependencies.actions.actions(of: id).first,
                request.isAdmin || newest.projectID == request.project
            else { throw fault }
            return id
        }
    }

    private static func members(_ action: InstanceActionRecord, _ request: ComputeRequest) -> [String: JSONValue] {
        var members: [String: JSONValue] = [
            "action": .string(action.action), "instance_uuid": .string(action.serverID.description),
            "request_id": .string(action.requestID), "user_id": .string(action.userID.text),
            "project_id": .string(action.projectID.text),
            "start_time": .string(Timestamp.naiveMicroseconds(action.startedAt)), "message": JSONValue(action.message),
        ]
        if request.version >= 58 { members["updated_at"] = .string(Timestamp.naiveMicroseconds(action.startedAt)) }
        return members
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
