import CellProtocol
import CloudModel
import FoundationEssentials
import HTTPKit
import HTTPTypes
import Hummingbird
import NIOCore
import Primitives
import ServerViews

/// `/servers`: create, show, update, delete.
struct ServerEndpoints: ComputeEndpoints {
    private let dependencies: ComputeDependencies
    private let servers: ServerAccess
    private let creation: ServerCreation

    init(_ dependencies: ComputeDependencies, _ servers: ServerAccess) {
        self.dependencies = dependencies
        self.servers = servers
        creation = ServerCreation(dependencies)
    }

    var routes: [ComputeRoute] {
        [
            ComputeRoute(.post, "servers", .member, create),
            ComputeRoute(.get, "servers/{id}", .reader, show),
            ComputeRoute(.put, "servers/{id}", .member, update),
            ComputeRoute(.delete, "servers/{id}", .member, delete),
        ]
    }

    private func create(_ request: ComputeRequest) async throws -> Response {
        let order = try await ServerOrder.read(request)
        let made = try await creation.create(order, request)
        try await servers.record("create", on: made.map(\.id), request)
        guard let first = made.first else { throw APIFault.internal() }
        if order.wantsReservationID {
            return .json(["reservation_id": .string(first.reservationID)], status: .accepted)
        }
        var writer = JSONWriter()
        writer.object { writer in
            writer.object("server") { writer in
                writer.field("id", first.id.description)
                request.links.write("servers", first.id.description, to: &writer)
                writer.field("OS-DCF:diskConfig", first.diskConfig)
                writer.array("security_groups") { writer in
                    for group in first.securityGroups { writer.object { $0.field("name", group) } }
                }
                writer.field(
                    "adminPass", order.adminPassword ?? String(dependencies.ids.next(Never.self).hex.prefix(12)))
            }
        }
        let location = request.links.selfURL("servers", first.id.description)
        return .json(writer, status: .accepted, headers: [.location: location])
    }

    private func show(_ request: ComputeRequest) async throws -> Response {
        try request.checkQuery([], strictFrom: 102)
        return Self.response(try await servers.shown(request))
    }

    private func update(_ request: ComputeRequest) async throws -> Response {
        var body = try await request.body("server")
        var changes = ServerChanges()
        changes.name = try body.name()
        changes.accessIPv4 = try Self.address(&body, "accessIPv4", isVersion4: true)
        changes.accessIPv6 = try Self.address(&body, "accessIPv6", isVersion4: false)
        changes.diskConfig = try ServerOrder.diskConfig(&body)
        if request.version >= 19, body.has("description") {
            changes.description = .set(try ServerOrder.description(&body))
        }
        if request.version >= 90, let hostname = try body.string("hostname", length: 2...255) {
            changes.hostname = try ServerOrder.checkHostname(hostname, version: request.version, body)
        }
        try body.finish()
        let row = try await servers.row(request)
        let rendered = try await servers.act(
            .update(changes), verb: "update", on: row, request, view: request.view(.updated, group: row.group))
        guard let rendered else { throw APIFault.internal() }
        return Self.response(rendered)
    }

    private func delete(_ request: ComputeRequest) async throws -> Response {
        let row = try await servers.row(request)
        if row.summary.isLocked && !request.isAdmin { throw ServerAccess.locked(row.summary.id) }
        let outcome = try await dependencies.acceptance.delete(
            row.summary.id, requestID: request.requestID, caller: request.caller)
        switch outcome {
        case .notFound: throw ServerAccess.notFound(request.id)
        case .deleted, .requested: break
        }
        try await servers.record("delete", on: [row.summary.id], request)
        return .empty(.noContent)
    }

    private static func address(
        _ body: inout JSONObjectReader, _ key: String, isVersion4: Bool
    ) throws(APIFault) -> ServerChanges.Field<String> {
        guard body.has(key) else { return .keep }
        guard let text = try ServerOrder.accessAddress(&body, key, isVersion4: isVersion4) else { return .set(nil) }
        return .set(text)
    }

    private static func response(_ rendered: Data) -> Response {
        var buffer = ByteBuffer(string: "{\"server\":")
        buffer.writeBytes(rendered)
        buffer.writeString("}")
        return .json(bytes: buffer)
    }
}
