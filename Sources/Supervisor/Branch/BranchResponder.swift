import CellProtocol
import CloudModel
import FoundationEssentials
import Logging
import MessageBus
import Primitives
import ServerLifecycle

/// Answers the cell protocol from what lies below.
///
/// A request that names a cell below is passed on as it came, unread. One that is for the branch itself is answered from
/// its directory, or goes to the child that the directory names.
struct BranchResponder: Sendable {
    let parts: CellParts
    let store: any BranchStore
    let router: ChildRouter

    /// Never fails: what can't be done is answered with a ``CellFailure``.
    func answer(_ envelope: Envelope) async -> Envelope? {
        await parts.answer(envelope) { try await respond($0) }
    }

    private func respond(_ envelope: Envelope) async throws -> Envelope {
        if let text = envelope.cell, text != parts.cell.description {
            guard let target = CellPath(text) else { return parts.failure(envelope, "\(text) is not a cell's path") }
            return try await pass(envelope, to: target)
        }
        switch envelope.kind {
        case BuildRequest.kind:
            return try await parts.reply(envelope, to: BuildRequest.self) { try await build($0, envelope) }
        case GetRequest.kind: return try await get(envelope)
        case ActRequest.kind: return try await act(envelope)
        case ConsoleOutputRequest.kind: return try await console(envelope)
        case SetHostRequest.kind: return try await setHost(envelope)
        case EventsRequest.kind: return try await parts.events(envelope)
        case HostsRequest.kind:
            return try await parts.reply(envelope, to: HostsRequest.self) { _ in .init(hosts: try await store.hosts()) }
        case CellsRequest.kind:
            return try await parts.reply(envelope, to: CellsRequest.self) { _ in
                .init(cells: try await store.standings())
            }
        case InventoryRequest.kind:
            return try await parts.reply(envelope, to: InventoryRequest.self) {
                try await store.inventory(after: $0.after, limit: InventoryRequest.pageLimit)
            }
        case AuditRequest.kind:
            return try await parts.reply(envelope, to: AuditRequest.self) { _ in try await store.audit() }
        case PingRequest.kind: return try await parts.reply(envelope, to: PingRequest.self) { _ in .init() }
        default: return parts.failure(envelope, "this cell knows no request \(envelope.kind)")
        }
    }

    /// What a leaf has taken can be found from the moment on at which the parent hears that it was taken.
    private func pass(_ envelope: Envelope, to target: CellPath) async throws -> Envelope {
        let answer = try await router.relay(envelope, to: target)
        if envelope.kind == BuildRequest.kind, answer.kind != CellFailure.kind {
            try await store.note(try CellCall.decode(answer, as: BuildRequest.self).accepted, in: target)
        }
        return answer
    }

    private func context(_ envelope: Envelope) -> CellCallContext {
        CellCallContext(
            requestID: envelope.requestID, caller: envelope.caller,
            deadline: envelope.deadline ?? parts.wallClock.now() + parts.settings.queryTimeout.timeInterval,
            traceParent: envelope.traceParent)
    }

    // MARK: Servers

    private func build(_ request: BuildRequest, _ envelope: Envelope) async throws -> BuildRequest.Reply {
        guard request.builds.count <= BuildRequest.batchLimit else {
            throw CellFailure(message: "more than \(BuildRequest.batchLimit) servers in one request")
        }
        let hosts = Array(Set(request.builds.compactMap(\.instance.host)))
        let leaves = try await store.leaves(of: hosts)
        var reply = BuildRequest.Reply(accepted: [], refused: [])
        var batches: [CellPath: [BuildSpecification]] = [:]
        for build in request.builds {
            if let leaf = build.instance.host.flatMap({ leaves[$0] }) {
                batches[leaf, default: []].append(build)
            } else {
                let host = build.instance.host?.text ?? "-"
                reply.refused.append(.init(id: build.instance.id, reason: "there is no host \(host) below this cell"))
            }
        }
        let context = context(envelope)
        await withTaskGroup(of: BuildRequest.Reply.self) { group in
            for (leaf, builds) in batches { group.addTask { await build(builds, in: leaf, context) } }
            for await part in group {
                reply.accepted += part.accepted
                reply.refused += part.refused
            }
        }
        return reply
    }

    /// Builds that are neither accepted nor refused may have arrived: their sender sends them again.
    private func build(
        _ builds: [BuildSpecification], in leaf: CellPath, _ context: CellCallContext
    ) async -> BuildRequest.Reply {
        do {
            let reply = try await router.send(BuildRequest(builds: builds), to: leaf, context: context)
            try await store.note(reply.accepted, in: leaf)
            return reply
        } catch CellError.unreachable {
            return .init(
                accepted: [], refused: builds.map { .init(id: $0.instance.id, reason: "cell \(leaf) is down") })
        } catch {
            parts.logger.warning(
                "builds are not acknowledged yet", metadata: ["cell": "\(leaf)", "error": "\(ErrorChain(error))"])
            return .init(accepted: [], refused: [])
        }
    }

    /// One call a child, at the same time. A page that lies in one child is passed on and its answer framed by nobody.
    private func get(_ envelope: Envelope) async throws -> Envelope {
        let request = try GetRequest(body: envelope.body)
        guard request.ids.count <= GetRequest.batchLimit else {
            throw CellFailure(message: "more than \(GetRequest.batchLimit) servers in one request")
        }
        let places = try await places(of: request)
        var batches: [CellPath: [(id: ServerID, leaf: CellPath)]] = [:]
        var reply = GetRequest.Reply(rows: [])
        var unreachable: [ServerID] = []
        for id in request.ids {
            if let leaf = places.leaves[id], let child = parts.cell.child(toward: leaf) {
                batches[child, default: []].append((id, leaf))
            } else if places.isIncomplete {
                unreachable.append(id)
            }
        }
        if let (child, servers) = batches.first, servers.count == request.ids.count {
            do throws(CellError) {
                return try await router.relay(envelope, to: child)
            } catch {
                unreachable = request.ids
            }
        } else {
            let context = context(envelope)
            await withTaskGroup(of: GetRequest.Reply.self) { group in
                for (child, servers) in batches {
                    group.addTask {
                        await get(GetRequest(servers, in: child, view: request.view), from: child, context)
                    }
                }
                for await part in group {
                    reply.rows += part.rows
                    unreachable += part.unreachable ?? []
                }
            }
        }
        if !unreachable.isEmpty { reply.unreachable = unreachable }
        return try CellCall.reply(
            to: envelope, as: GetRequest.self, reply, messageID: parts.ids.uuid(), sender: parts.sender)
    }

    /// By the asker's word, else by the directory.
    private func places(of request: GetRequest) async throws -> BranchPlaces {
        if let leaves = request.leaves(below: parts.cell) { return BranchPlaces(leaves: leaves, isIncomplete: false) }
        return try await store.places(of: request.ids)
    }

    /// A child that can't tell of its servers costs only their rows.
    private func get(_ request: GetRequest, from child: CellPath, _ context: CellCallContext) async -> GetRequest.Reply
    {
        do throws(CellError) {
            return try await router.send(request, to: child, context: context)
        } catch {
            parts.logger.debug("servers are not read", metadata: ["cell": "\(child)", "error": "\(error)"])
            var reply = GetRequest.Reply(rows: [])
            reply.unreachable = request.ids
            return reply
        }
    }

    private func act(_ envelope: Envelope) async throws -> Envelope {
        let id = try ActRequest(body: envelope.body).id
        if let leaf = try await leaf(of: id) { return try await pass(envelope, to: leaf) }
        return try await parts.reply(envelope, to: ActRequest.self) { _ in .notFound }
    }

    private func console(_ envelope: Envelope) async throws -> Envelope {
        let id = try ConsoleOutputRequest(body: envelope.body).id
        if let leaf = try await leaf(of: id) { return try await pass(envelope, to: leaf) }
        return try await parts.reply(envelope, to: ConsoleOutputRequest.self) { _ in .notFound }
    }

    /// - Throws: ``CellFailure`` when nobody knows, because rows are missing.
    private func leaf(of id: ServerID) async throws -> CellPath? {
        let places = try await store.places(of: [id])
        if let leaf = places.leaves[id] { return leaf }
        guard !places.isIncomplete else {
            throw CellFailure(message: "the directory is being read again", absence: .unreachable)
        }
        return nil
    }

    // MARK: Events and hosts

    private func setHost(_ envelope: Envelope) async throws -> Envelope {
        let host = try SetHostRequest(body: envelope.body).host
        if let leaf = try await store.leaves(of: [host])[host] { return try await pass(envelope, to: leaf) }
        return try await parts.reply(envelope, to: SetHostRequest.self) { _ in .notFound }
    }
}
