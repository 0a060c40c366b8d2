import CellProtocol
import CloudModel
import FoundationEssentials
import Logging
import MessageBus
import Primitives
import ServerLifecycle
import ServerViews

/// Answers the cell protocol from the cell's own database. What changes something is durable before it is answered.
struct LeafResponder: Sendable {
    let parts: CellParts
    let store: any CellStore
    let questions: HostQuestions

    /// Never fails: what can't be done is answered with a ``CellFailure``.
    func answer(_ envelope: Envelope) async -> Envelope? {
        await parts.answer(envelope) { try await respond($0) }
    }

    private func respond(_ envelope: Envelope) async throws -> Envelope {
        switch envelope.kind {
        case BuildRequest.kind: try await parts.reply(envelope, to: BuildRequest.self) { try await build($0, envelope) }
        case GetRequest.kind: try await parts.reply(envelope, to: GetRequest.self) { try await get($0) }
        case ActRequest.kind: try await parts.reply(envelope, to: ActRequest.self) { try await act($0, envelope) }
        case ConsoleOutputRequest.kind:
            try await parts.reply(envelope, to: ConsoleOutputRequest.self) { try await console($0, envelope) }
        case EventsRequest.kind: try await parts.events(envelope)
        case HostsRequest.kind:
            try await parts.reply(envelope, to: HostsRequest.self) { _ in .init(hosts: try await store.hosts()) }
        case InventoryRequest.kind:
            try await parts.reply(envelope, to: InventoryRequest.self) { try await inventory($0) }
        case AuditRequest.kind:
            try await parts.reply(envelope, to: AuditRequest.self) { _ in try await store.audit() }
        case CellsRequest.kind: try await parts.reply(envelope, to: CellsRequest.self) { _ in .init(cells: []) }
        case PingRequest.kind: try await parts.reply(envelope, to: PingRequest.self) { _ in .init() }
        case SetHostRequest.kind: try await parts.reply(envelope, to: SetHostRequest.self) { try await setHost($0) }
        case ActionsRequest.kind:
            try await parts.reply(envelope, to: ActionsRequest.self) { try await actions($0, envelope) }
        case SagasRequest.kind: try await parts.reply(envelope, to: SagasRequest.self) { try await sagas($0) }
        case SagaRequest.kind: try await parts.reply(envelope, to: SagaRequest.self) { try await saga($0) }
        case SagaOrderRequest.kind:
            try await parts.reply(envelope, to: SagaOrderRequest.self) { try await order($0, envelope) }
        default: parts.failure(envelope, "this cell knows no request \(envelope.kind)")
        }
    }

    // MARK: Servers

    private func build(_ request: BuildRequest, _ envelope: Envelope) async throws -> BuildRequest.Reply {
        guard request.builds.count <= BuildRequest.batchLimit else {
            throw CellFailure(message: "more than \(BuildRequest.batchLimit) servers in one request")
        }
        let now = parts.wallClock.now()
        let builds = request.builds.map { ($0, SagaID(parts.ids.uuid())) }
        let scope = CellScope(
            servers: builds.map(\.0.instance.id), hosts: Array(Set(builds.compactMap(\.0.instance.host))))
        let reply = try await store.transact(scope) { snapshot in
            var plan = CellPlan(snapshot, now: now)
            var reply = BuildRequest.Reply(accepted: [], refused: [])
            for (build, sagaID) in builds {
                let reason = plan.admit(
                    build, sagaID: sagaID, caller: envelope.caller, traceParent: envelope.traceParent)
                if let reason {
                    reply.refused.append(.init(id: build.instance.id, reason: reason))
                } else {
                    reply.accepted.append(build.instance.id)
                }
            }
            return CellDecision(plan.changes(), reply)
        }
        for refusal in reply.refused {
            parts.logger.warning(
                "a build is refused", metadata: ["server.id": "\(refusal.id)", "error": "\(refusal.reason)"])
        }
        return reply
    }

    private func get(_ request: GetRequest) async throws -> GetRequest.Reply {
        guard request.ids.count <= GetRequest.batchLimit else {
            throw CellFailure(message: "more than \(GetRequest.batchLimit) servers in one request")
        }
        let view = ServerView(request.view)
        return GetRequest.Reply(
            rows: try await store.servers(request.ids).map { server in
                .init(id: server.instance.id, version: server.instance.version, rendered: render(server, view))
            })
    }

    private func render(_ server: LocatedServer, _ view: ServerView) -> Data {
        let host = server.host.map {
            ServerView.Host(hypervisorHostname: $0.hypervisorHostname, isUp: $0.isUp, isEnabled: $0.isEnabled)
        }
        return view.render(server.instance, host: host)
    }

    private func act(_ request: ActRequest, _ envelope: Envelope) async throws -> ActRequest.Reply {
        let order = ActOrder(
            request: request, caller: envelope.caller, requestID: envelope.requestID,
            idempotencyKey: envelope.idempotencyKey, traceParent: envelope.traceParent,
            sagaID: SagaID(parts.ids.uuid()))
        let now = parts.wallClock.now()
        let scope = CellScope(servers: [request.id], idempotencyKeys: [envelope.idempotencyKey])
        let outcome = try await store.transact(scope) { snapshot in
            var plan = CellPlan(snapshot, now: now)
            let outcome = plan.act(order)
            return CellDecision(plan.changes(), outcome)
        }
        switch outcome {
        case .accepted(let instance): return .accepted(rendered: try await render(instance, request.view))
        case .conflict(let message): return .conflict(message: message)
        case .notFound: return .notFound
        case .badRequest(let message): return .badRequest(message: message)
        case .locked: return .locked
        }
    }

    private func render(_ instance: Instance, _ context: ServerViewContext?) async throws -> Data? {
        guard let context else { return nil }
        let host = try await store.servers([instance.id]).first?.host
        return render(LocatedServer(instance: instance, host: host), ServerView(context))
    }

    private func console(
        _ request: ConsoleOutputRequest, _ envelope: Envelope
    ) async throws -> ConsoleOutputRequest.Reply {
        guard let server = try await store.servers([request.id]).first else { return .notFound }
        if let caller = envelope.caller, !caller.isAdmin, caller.projectID != server.instance.projectID.text {
            return .notFound
        }
        guard let host = server.instance.host, server.instance.state.vm != .building else {
            return .conflict(message: "vm_state \(server.instance.state.vm.rawValue)")
        }
        guard server.host?.isUp == true else { return .unavailable(message: "the server's host is down") }
        let answer = await questions.ask(
            .consoleOutput(lines: request.lines), about: request.id, on: host, requestID: envelope.requestID,
            deadline: envelope.deadline)
        switch answer {
        case .consoleOutput(let text): return .output(text)
        case .notFound: return .output("")
        case .failed(let reason): return .unavailable(message: reason)
        case nil: return .unavailable(message: "the server's host did not answer in time")
        }
    }

    // MARK: Events and hosts

    private func inventory(_ request: InventoryRequest) async throws -> InventoryRequest.Reply {
        let (servers, sequence) = try await store.inventory(
            after: request.after, limit: InventoryRequest.pageLimit)
        return InventoryRequest.Reply(
            servers: servers.map { InstanceSummary($0) }, sequence: sequence,
            isLast: servers.count < InventoryRequest.pageLimit)
    }

    private func setHost(_ request: SetHostRequest) async throws -> SetHostRequest.Reply {
        let now = parts.wallClock.now()
        let record = try await store.changeHosts([request.host]) {
            HostPlan.set(request, known: $0, now: now)
        }
        guard let record else { return .notFound }
        parts.logger.notice(
            "host is set", metadata: ["host": "\(record.name)", "enabled": "\(record.isEnabled)"])
        return .changed(record)
    }
}
