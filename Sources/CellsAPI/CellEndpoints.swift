import CellProtocol
import CloudModel
import HTTPKit
import Hummingbird
import Primitives

/// `/cells/v1/cells`: every cell below the root, and the operator's word on each.
struct CellEndpoints: Sendable {
    private let dependencies: CellsDependencies

    init(_ dependencies: CellsDependencies) { self.dependencies = dependencies }

    func list(_ request: CellsRequest) async throws -> Response {
        try request.check(["limit", "marker"])
        let page = try request.page()
        let marker = try page.marker.map { text throws(APIFault) in
            guard let path = CellPath(text) else { throw .badRequest("marker [\(text.prefix(255))] not found") }
            return path
        }
        var cells = try await dependencies.registry.cells(after: marker, limit: page.limit + 1)
        let hasMore = cells.count > page.limit
        if hasMore { cells.removeLast() }
        var body: [String: JSONValue] = ["cells": .array(cells.map(CellView.json))]
        if hasMore, let last = cells.last { body["cells_links"] = request.next("cells", lastID: "\(last.path)") }
        return .json(.object(body))
    }

    func show(_ request: CellsRequest) async throws -> Response {
        try request.check([])
        let path = try Self.path(request)
        guard let cell = try await dependencies.registry.cell(path) else { throw Self.unknown(path) }
        return .json(["cell": CellView.json(cell)])
    }

    func order(_ request: CellsRequest) async throws -> Response {
        let path = try Self.path(request)
        let order = try await request.order("cell", now: dependencies.wallClock.now())
        guard let cell = try await dependencies.registry.order(order, of: path) else { throw Self.unknown(path) }
        return .json(["cell": CellView.json(cell)])
    }

    /// Forgets the cell; its processes, database and virtual host are the deploy tool's to remove.
    func retire(_ request: CellsRequest) async throws -> Response {
        let path = try Self.path(request)
        switch try await dependencies.registry.retire(path) {
        case .removed: return .empty(.noContent)
        case .notFound: throw Self.unknown(path)
        case .hasChildren(let count):
            throw APIFault.conflict(
                "Cell \(path) has \(count) \(count == 1 ? "cell" : "cells") below it. A cell can be retired when it has none."
            )
        case .occupied(let count):
            throw APIFault.conflict(
                "Cell \(path) has \(count) \(count == 1 ? "server" : "servers"). A cell can be retired when it has none."
            )
        }
    }

    private static func path(_ request: CellsRequest) throws(APIFault) -> CellPath {
        let text = "/" + request.context.parameters.getCatchAll().joined(separator: "/")
        guard let path = CellPath(text), !path.isRoot else {
            throw .notFound("Cell \(text.prefix(255)) could not be found.")
        }
        return path
    }

    private static func unknown(_ path: CellPath) -> APIFault { .notFound("Cell \(path) could not be found.") }
}

/// A cell as administrators see it.
enum CellView {
    static func json(_ cell: CellRecord) -> JSONValue {
        let heartbeat = cell.heartbeat
        let isChild = cell.path.parent?.isRoot ?? true
        let applied = isChild ? cell.lastSequence : heartbeat?.newestSequence ?? 0
        let newest = max(heartbeat?.newestSequence ?? applied, applied)
        return [
            "path": .string(cell.path.description), "name": .string(cell.path.name),
            "parent": JSONValue(cell.path.parent?.description),
            "depth": .integer(Int64(cell.path.components.count)),
            "kind": heartbeat?.isLeaf == false ? "branch" : "leaf",
            "cells": [
                "total": .integer(Int64(heartbeat?.cells ?? 0)), "down": .integer(Int64(heartbeat?.cellsDown ?? 0)),
            ],
            "health": [
                "state": .string(cell.isCutOff ? "unknown" : cell.health.rawValue), "reason": JSONValue(cell.reason),
                "since": .string(Timestamp.seconds(cell.since)),
            ],
            "placement": placement(cell.order),
            "servers": [
                "total": .integer(Int64(cell.servers)), "building": .integer(Int64(cell.building)),
                "deleting": .integer(Int64(cell.deleting)), "projects": .integer(Int64(cell.projects)),
            ],
            "hosts": [
                "total": .integer(Int64(cell.hosts)), "up": .integer(Int64(cell.hostsUp)),
                "enabled": .integer(Int64(cell.hostsOpen)),
            ],
            "conductors": ["up": .integer(Int64(heartbeat?.conductorsUp ?? 0))],
            "capacity": [
                "vcpus": resource(cell.vcpus), "memory_mib": resource(cell.memoryMiB),
                "disk_gib": resource(cell.diskGiB),
            ],
            "versions": [
                "supervisor": JSONValue(heartbeat?.version),
                "agents": .object(cell.agentVersions.mapValues { .integer(Int64($0)) }),
            ],
            "events": [
                "applied": .integer(applied), "newest": .integer(newest), "lag": .integer(newest - applied),
            ],
            "heartbeat_at": JSONValue(heartbeat.map { Timestamp.seconds($0.sentAt) }),
        ]
    }

    static func placement(_ order: PlacementOrder) -> JSONValue {
        [
            "state": .string(order.state.rawValue), "reason": JSONValue(order.reason),
            "since": .string(Timestamp.seconds(order.since)),
        ]
    }

    private static func resource(_ resource: CellRecord.Resource) -> JSONValue {
        [
            "total": .integer(Int64(resource.total)), "usable": .integer(Int64(resource.usable)),
            "used": .integer(Int64(resource.used)),
        ]
    }
}
