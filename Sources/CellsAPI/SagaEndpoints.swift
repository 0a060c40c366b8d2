import CellProtocol
import CloudModel
import FoundationEssentials
import HTTPKit
import Hummingbird
import MessageBus
import Primitives

/// `/cells/v1/sagas`: what is being done to servers in every leaf cell, and the operator's word on what does not end.
///
/// Nothing of it is kept at the root: each leaf is asked for its own. A leaf that can't be asked is named in the answer.
struct SagaEndpoints: Sendable {
    /// Sagas of one page.
    static let pageLimit = 500
    /// Leaves that are asked at once.
    static let fanOut = 32
    /// Seconds: a year.
    static let ageLimit = 31_536_000

    private let dependencies: CellsDependencies

    init(_ dependencies: CellsDependencies) { self.dependencies = dependencies }

    func list(_ request: CellsRequest) async throws -> Response {
        try request.check(["limit", "marker", "cell", "state", "server", "host", "older_than"])
        let page = try PageRequest(request.query, maximum: Self.pageLimit)
        let filter = try filter(request, page)
        let leaves = try await leaves(request)
        let answers = await ask(SagasRequest(filter: filter), leaves, request)
        var found: [(cell: CellPath, saga: SagaDescription)] = []
        for (cell, reply) in answers.replies { found += reply.sagas.map { (cell, $0) } }
        found.sort { $0.saga.position < $1.saga.position }
        var body: [String: JSONValue] = [
            "sagas": .array(found.prefix(page.limit).map { SagaView.json($0.saga, in: $0.cell) }),
            "cells_silent": .array(answers.silent.map(SagaView.json)),
        ]
        if found.count > page.limit {
            let last = found[page.limit - 1].saga
            body["sagas_links"] = request.next("sagas", lastID: SagaMarker.text(last.position))
        }
        return .json(.object(body))
    }

    func show(_ request: CellsRequest) async throws -> Response {
        try request.check(["cell"])
        let (cell, saga) = try await find(try id(request), request)
        return .json(["saga": SagaView.json(saga, in: cell)])
    }

    func order(_ request: CellsRequest) async throws -> Response {
        try request.check(["cell"])
        let id = try id(request)
        let (order, verb) = try await order(in: request)
        let (cell, _) = try await find(id, request)
        let reply: SagaOrderRequest.Reply
        do throws(CellError) {
            reply = try await dependencies.cells.send(
                SagaOrderRequest(id: id, order: order), to: cell, context: context(request))
        } catch {
            throw APIFault.unavailable(
                "Cell \(cell) can't be asked: \(Self.reason(error)). Nothing is known to be changed.")
        }
        switch reply {
        case .done(let saga): return .json(["saga": SagaView.json(saga, in: cell)])
        case .conflict(let message): throw APIFault.conflict("Saga \(id) can't be \(verb): \(message).")
        case .notFound: throw Self.unknown(id.description)
        }
    }

    // MARK: Which

    private func filter(_ request: CellsRequest, _ page: PageRequest) throws(APIFault) -> SagaFilter {
        var filter = SagaFilter(limit: page.limit + 1)
        let states = request.query.all("state")
        if !states.isEmpty {
            filter.states = []
            for text in states { filter.states.append(try Self.state(text)) }
        }
        if let text = request.query["server"] {
            guard let server = ServerID(text) else { throw .badRequest("'\(text.prefix(255))' is not a server's id.") }
            filter.server = server
        }
        filter.host = request.query["host"].map { HostName($0) }
        if let seconds = try request.query.integer("older_than", in: 0...Self.ageLimit) {
            filter.createdBefore = dependencies.wallClock.now().addingTimeInterval(-TimeInterval(seconds))
        }
        if let text = page.marker {
            guard let position = SagaMarker.position(text) else {
                throw .badRequest("marker [\(text.prefix(255))] not found")
            }
            filter.after = position
        }
        return filter
    }

    private static func state(_ text: String) throws(APIFault) -> SagaState {
        guard let state = SagaState(rawValue: text) else {
            let known = SagaState.allCases.map(\.rawValue).joined(separator: ", ")
            throw .badRequest("Invalid input for query parameter state: '\(text.prefix(100))' is not one of \(known).")
        }
        return state
    }

    /// The leaves that a request is about: those below the cell that it names, or all.
    private func leaves(_ request: CellsRequest) async throws -> [CellStatus] {
        let all = await dependencies.cells.cells().filter(\.isLeaf)
        guard let text = request.query["cell"] else { return all }
        guard let path = CellPath(text) else {
            throw APIFault.badRequest("'\(text.prefix(255))' is not a cell's path, such as /north.")
        }
        let named = all.filter { path.holds($0.cell) }
        guard !named.isEmpty else { throw APIFault.notFound("Cell \(path) could not be found.") }
        return named
    }

    private func id(_ request: CellsRequest) throws(APIFault) -> SagaID {
        let text = request.context.parameter("id")
        guard let id = SagaID(text) else { throw Self.unknown(String(text.prefix(255))) }
        return id
    }

    private static func unknown(_ id: String) -> APIFault { .notFound("Saga \(id) could not be found.") }

    /// No directory says where a saga is.
    private func find(_ id: SagaID, _ request: CellsRequest) async throws -> (CellPath, SagaDescription) {
        let answers = await ask(SagaRequest(id: id), try await leaves(request), request)
        for (cell, reply) in answers.replies {
            if case .found(let saga) = reply { return (cell, saga) }
        }
        guard let first = answers.silent.first else { throw Self.unknown(id.description) }
        let others = answers.silent.count > 1 ? " and \(answers.silent.count - 1) more" : ""
        throw APIFault.unavailable(
            "Saga \(id) is in no cell that answers; cell \(first.cell)\(others) can't be asked: \(first.reason).")
    }

    /// `{"saga": {"order": "retry"}}` or `{"saga": {"order": "abandon", "reason": "..."}}`
    private func order(in request: CellsRequest) async throws -> (SagaOrderRequest.Order, verb: String) {
        var body = try await request.context.jsonObject(request.request, key: "saga")
        let text = try body.requiredString("order")
        let reason = try body.string("reason", length: 1...SagaOrderRequest.reasonLimit, nullable: true)
        try body.finish()
        switch text {
        case "retry":
            guard reason == nil else { throw APIFault.badRequest("A reason is for 'abandon' only.") }
            return (.retry, "retried")
        case "abandon": return (.abandon(reason: reason), "abandoned")
        default: throw body.invalid("order", .string(text), "is not one of abandon, retry")
        }
    }

    // MARK: Asking

    struct SilentCell: Sendable {
        let cell: CellPath
        let reason: String
    }

    private struct Answers<Reply: Sendable>: Sendable {
        var replies: [(cell: CellPath, reply: Reply)] = []
        /// By path.
        var silent: [SilentCell] = []
    }

    private func ask<R: CellRequest>(
        _ question: R, _ leaves: [CellStatus], _ request: CellsRequest
    ) async -> Answers<R.Reply> {
        let context = context(request)
        var answers = Answers<R.Reply>()
        for down in leaves where down.health == .down {
            answers.silent.append(SilentCell(cell: down.cell, reason: down.reason ?? "it is down"))
        }
        await withTaskGroup(of: (CellPath, Result<R.Reply, CellError>).self) { group in
            var waiting = leaves.filter { $0.health != .down }.map(\.cell)[...]
            func next() {
                guard let cell = waiting.popFirst() else { return }
                group.addTask {
                    do throws(CellError) {
                        return (cell, .success(try await dependencies.cells.send(question, to: cell, context: context)))
                    } catch {
                        return (cell, .failure(error))
                    }
                }
            }
            for _ in 0..<Self.fanOut { next() }
            for await (cell, result) in group {
                switch result {
                case .success(let reply): answers.replies.append((cell, reply))
                case .failure(let error): answers.silent.append(SilentCell(cell: cell, reason: Self.reason(error)))
                }
                next()
            }
        }
        answers.replies.sort { $0.cell < $1.cell }
        answers.silent.sort { $0.cell < $1.cell }
        return answers
    }

    private func context(_ request: CellsRequest) -> CellCallContext {
        request.cellContext(within: dependencies.cellTimeout, now: dependencies.wallClock.now())
    }

    private static func reason(_ error: CellError) -> String {
        switch error {
        case .unknownCell: "there is no such cell"
        case .unreachable: "it is down"
        case .timedOut: "it did not answer in time"
        case .overloaded: "too many calls to it"
        case .failed(_, let detail): "it failed: \(detail)"
        case .malformed: "its answer can't be read"
        case .cancelled: "the request was cancelled"
        }
    }
}

/// A place in a list of sagas: microseconds since 1970 and an id.
enum SagaMarker {
    static func text(_ position: SagaFilter.Position) -> String {
        "\(position.createdAt.microseconds)_\(position.id)"
    }

    static func position(_ text: String) -> SagaFilter.Position? {
        let parts = text.split(separator: "_", omittingEmptySubsequences: false)
        guard parts.count == 2, let microseconds = Int64(parts[0]), let id = SagaID(String(parts[1])) else {
            return nil
        }
        return .init(createdAt: Date(microseconds: microseconds), id: id)
    }
}

/// A saga as administrators see it.
enum SagaView {
    static func json(_ saga: SagaDescription, in cell: CellPath) -> JSONValue {
        var members: [String: JSONValue] = [
            "id": .string(saga.id.description), "name": .string(saga.name), "version": .integer(Int64(saga.version)),
            "state": .string(saga.state.rawValue), "server_id": .string(saga.serverID.description),
            "cell": .string(cell.description), "host": .string(saga.host.text),
            "attempt": .integer(Int64(saga.epoch)), "request_id": .string(saga.requestID),
            "created_at": time(saga.createdAt), "changed_at": time(saga.changedAt),
            "ended_at": saga.endedAt.map(time) ?? .null, "message": JSONValue(saga.message),
            "step": JSONValue(saga.step), "is_undoing": .bool(saga.isUndoing), "tries": .integer(Int64(saga.tries)),
            "failure": JSONValue(saga.failure), "lease_epoch": .integer(Int64(saga.leaseEpoch)),
            "lease": saga.lease.map { ["owner": .string($0.owner), "until": time($0.until)] } ?? .null,
            "remains": .string(saga.remains),
        ]
        if let steps = saga.steps { members["steps"] = .array(steps.map(json)) }
        if let log = saga.log { members["log"] = .array(log.map(json)) }
        return .object(members)
    }

    static func json(_ cell: SagaEndpoints.SilentCell) -> JSONValue {
        ["path": .string(cell.cell.description), "reason": .string(cell.reason)]
    }

    private static func json(_ run: StepRun) -> JSONValue {
        [
            "step": .string(run.step), "is_undo": .bool(run.isUndo), "generation": .integer(Int64(run.generation)),
            "started_at": time(run.startedAt), "finished_at": run.finishedAt.map(time) ?? .null,
            "result": run.isSuccess.map { $0 ? "success" : "error" } ?? .null, "reason": JSONValue(run.reason),
            "details": JSONValue(run.details),
        ]
    }

    private static func json(_ entry: SagaDescription.Entry) -> JSONValue {
        [
            "at": time(entry.at), "event": .string(entry.event), "step": JSONValue(entry.step),
            "generation": entry.generation.map { .integer(Int64($0)) } ?? .null, "reason": JSONValue(entry.reason),
        ]
    }

    private static func time(_ date: Date) -> JSONValue { .string(Timestamp.microseconds(date)) }
}
