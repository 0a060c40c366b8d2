import CellProtocol
import CloudModel
import HTTPKit
import Hummingbird
import Primitives

/// `/cells/v1/servers/{id}`: where a server is and how it got there.
struct ServerEndpoints: Sendable {
    /// Actions that are shown, the newest.
    static let actionLimit = 100

    private let dependencies: CellsDependencies

    init(_ dependencies: CellsDependencies) { self.dependencies = dependencies }

    func show(_ request: CellsRequest) async throws -> Response {
        try request.check([])
        let text = request.context.parameter("id")
        let unknown = "Server \(text.prefix(255)) could not be found."
        let id: ServerID = try request.context.identifier("id", orNotFound: unknown)
        guard let server = try await dependencies.registry.locate(id) else { throw APIFault.notFound(unknown) }
        let actions = try await dependencies.actions.actions(of: id).prefix(Self.actionLimit)
        var view = Self.view(server)
        if let path = server.cell, let cell = try await dependencies.registry.cell(path) {
            view["cell_health"] = .string(cell.health.rawValue)
        }
        view["actions"] = .array(actions.map(Self.view))
        return .json(["server": .object(view)])
    }

    private static func view(_ server: ServerLocation) -> [String: JSONValue] {
        [
            "id": .string(server.id.description), "name": .string(server.name),
            "project_id": .string(server.projectID.text), "status": .string(server.status),
            "vm_state": .string(server.vmState), "task_state": JSONValue(server.taskState),
            "cell": JSONValue(server.cell?.description), "cell_health": .null, "host": JSONValue(server.host?.text),
            "created_at": .string(Timestamp.seconds(server.createdAt)),
            "updated_at": .string(Timestamp.seconds(server.updatedAt)),
            "deleted_at": JSONValue(server.deletedAt.map { Timestamp.seconds($0) }),
            "build_request": server.request.map(Self.view) ?? .null,
            "placements": .array(server.placements.map(Self.view)),
        ]
    }

    private static func view(_ request: ServerLocation.Request) -> JSONValue {
        [
            "state": .string(request.state), "failed_attempts": .integer(Int64(request.attempts)),
            "excluded_hosts": .array(request.excludedHosts.map { .string($0.text) }),
            "fault": JSONValue(request.fault),
        ]
    }

    private static func view(_ placement: ServerLocation.Placement) -> JSONValue {
        [
            "attempt": .integer(Int64(placement.epoch)), "cell": .string(placement.cell.description),
            "host": .string(placement.host.text), "placed_at": .string(Timestamp.seconds(placement.placedAt)),
            "failure": JSONValue(placement.failure),
            "failed_at": JSONValue(placement.failedAt.map { Timestamp.seconds($0) }),
        ]
    }

    private static func view(_ action: InstanceActionRecord) -> JSONValue {
        [
            "action": .string(action.action), "request_id": .string(action.requestID),
            "user_id": .string(action.userID.text), "project_id": .string(action.projectID.text),
            "started_at": .string(Timestamp.seconds(action.startedAt)), "message": JSONValue(action.message),
        ]
    }
}
