import CellProtocol
import CloudModel
import FoundationEssentials
import HTTPKit
import Primitives
import ServerViews

/// Finds a server for its caller and speaks with the cell that has it.
struct ServerAccess: Sendable {
    private let dependencies: ComputeDependencies
    private let places = KnownPlaces()

    init(_ dependencies: ComputeDependencies) { self.dependencies = dependencies }

    /// The server of the request's path, rendered: by the cell that is known to have it, else where the directory says.
    /// - Throws: a 404 when there is none or it is another project's.
    func shown(_ request: ComputeRequest) async throws -> Data {
        let view = request.view(.single)
        if let id = ServerID(request.id), let place = places.place(of: id),
            request.isAdmin || place.project == request.project
        {
            do {
                if let rendered = try await fetch(id, from: place.cell, view, request) { return rendered }
            } catch let error as CellError where Self.allowsPartial(error, view) {
                return try await partial(try await row(request), view)
            }
            places.forget(id)
        }
        let row = try await row(request)
        let rendered = try await rendered(row, request.view(.single, group: row.group), request)
        places.note(row)
        return rendered
    }

    /// The server of the request's path.
    /// - Throws: a 404 when there is none or it is another project's.
    func row(_ request: ComputeRequest) async throws -> DirectoryRow {
        guard let id = ServerID(request.id), let row = try await dependencies.directory.find(id),
            request.isAdmin || row.summary.projectID == request.project
        else { throw Self.notFound(request.id) }
        return row
    }

    /// The server rendered for `view`, by its cell or, while it has none, here.
    /// - Throws: from microversion 2.69 on nothing for a cell that can't be reached: the record is then partial.
    func rendered(_ row: DirectoryRow, _ view: ServerViewContext, _ request: ComputeRequest) async throws -> Data {
        if let unplaced = row.unplaced, row.cell == nil { return ServerView(view).render(unplaced, host: nil) }
        do {
            guard let cell = row.cell else { throw CellError.unreachable(.root) }
            guard let rendered = try await fetch(row.summary.id, from: cell, view, request) else {
                throw Self.notFound(row.summary.id.description)
            }
            return rendered
        } catch let error as CellError where Self.allowsPartial(error, view) {
            return try await partial(row, view)
        }
    }

    private static func allowsPartial(_ error: CellError, _ view: ServerViewContext) -> Bool {
        error.isAbsence && view.microversion >= ServerView.partialRecordsVersion
    }

    /// What the root knows of a server whose cell can't be reached.
    private func partial(_ row: DirectoryRow, _ view: ServerViewContext) async throws -> Data {
        let flavor = try await dependencies.flavors.find(id: row.summary.flavorID)?.flavor
        return ServerView(view).renderPartial(row.summary, flavor: flavor)
    }

    private func fetch(
        _ id: ServerID, from cell: CellPath, _ view: ServerViewContext, _ request: ComputeRequest
    ) async throws -> Data? {
        let reply = try await dependencies.cells.send(
            GetRequest(ids: [id], view: view), to: cell, context: dependencies.readContext(request))
        if reply.unreachable?.isEmpty == false { throw CellError.unreachable(cell) }
        return reply.rows.first?.rendered
    }

    /// The server as a document, whole, in the oldest shape unless said otherwise.
    /// - Throws: a 503 when its cell can't be reached.
    func document(_ row: DirectoryRow, _ request: ComputeRequest, minor: Int = 1) async throws -> JSONValue {
        let view = ServerViewContext(
            detail: .full, microversion: minor, computeURL: request.computeURL, isAdmin: false)
        return try JSONParser.parse(Array(try await rendered(row, view, request)))
    }

    /// Asks the server's cell for `action`. `verb` is what Nova's refusals call it.
    /// - Returns: the server afterwards, when `view` is given.
    /// - Throws: a 409 when its state or its lock forbids it.
    @discardableResult
    func act(
        _ action: ServerAction, verb: String, on row: DirectoryRow, _ request: ComputeRequest,
        view: ServerViewContext? = nil, metadataLimit: Int? = nil
    ) async throws -> Data? {
        let id = row.summary.id
        if row.summary.isLocked && !request.isAdmin && !action.passesLock { throw Self.locked(id) }
        guard let cell = row.cell else {
            throw Self.conflict(id, verb, because: Self.obstacle(row.summary.state))
        }
        var context = dependencies.callContext(request)
        context.idempotencyKey = request.idempotencyKey(of: action)
        let reply = try await dependencies.cells.send(
            ActRequest(id: id, action: action, view: view, metadataLimit: metadataLimit), to: cell, context: context)
        switch reply {
        case .accepted(let rendered):
            return rendered
        case .conflict(let message): throw Self.conflict(id, verb, because: message)
        case .notFound: throw Self.notFound(id.description)
        case .badRequest(let message): throw APIFault.badRequest(message)
        case .locked: throw Self.locked(id)
        }
    }

    /// Keeps what was asked, for `os-instance-actions`.
    func record(_ action: String, on servers: [ServerID], _ request: ComputeRequest) async throws {
        let now = dependencies.wallClock.now()
        try await dependencies.actions.record(
            servers.map { server in
                InstanceActionRecord(
                    serverID: server, action: action, requestID: request.requestID, userID: request.userID,
                    projectID: request.project, startedAt: now)
            })
    }

    static func notFound(_ id: String) -> APIFault { .notFound("Instance \(id.prefix(255)) could not be found.") }

    static func locked(_ id: ServerID) -> APIFault { .conflict("Instance \(id) is locked") }

    static func conflict(_ id: ServerID, _ verb: String, because reason: String) -> APIFault {
        .conflict("Cannot '\(verb)' instance \(id) while it is in \(reason)")
    }

    private static func obstacle(_ state: ServerState) -> String {
        if let task = state.task { "task_state \(task.rawValue)" } else { "vm_state \(state.vm.rawValue)" }
    }
}

extension CellError {
    /// The cell can't be asked now; nothing is known to be wrong with the request.
    var isAbsence: Bool {
        switch self {
        case .unreachable, .timedOut, .overloaded, .unknownCell: true
        case .failed, .malformed, .cancelled: false
        }
    }
}

extension ServerAction {
    fileprivate var passesLock: Bool {
        switch self {
        case .lock, .unlock, .update: true
        case .start, .stop, .reboot, .delete, .replaceMetadata, .mergeMetadata, .removeMetadata: false
        }
    }
}
