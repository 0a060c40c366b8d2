package import CellProtocol
package import CloudModel
import FoundationEssentials
import Primitives
import ServerViews
import Synchronization

extension InMemoryCloud {
    package func cells() async -> [CellStatus] {
        state.withLock { state in
            [Self.north, Self.south].map { cell in
                let isDown = state.downCells.contains(cell)
                let heartbeat = CellHeartbeat(
                    cell: cell, version: "1", sentAt: .distantPast, newestSequence: 0, databaseMilliseconds: 1,
                    isDatabaseUp: true, conductorsUp: 1, hostsUp: 1, hosts: 1)
                return CellStatus(
                    cell: cell, health: isDown ? .down : .up, since: .distantPast, heartbeat: heartbeat, isLeaf: true)
            }
        }
    }

    package func send<R: CellRequest>(
        _ request: R, to cell: CellPath, context: CellCallContext
    ) async throws(CellError) -> R.Reply {
        let isDown = state.withLock { state in
            state.calls[cell, default: 0] += 1
            return state.downCells.contains(cell)
        }
        if isDown { throw .unreachable(cell) }
        let reply: any Sendable
        switch request {
        case let request as GetRequest: reply = get(request, cell)
        case let request as ActRequest: reply = act(request, cell, key: context.idempotencyKey)
        case is ConsoleOutputRequest:
            reply = ConsoleOutputRequest.Reply.output(state.withLock { $0.console })
        case let request as SetHostRequest: reply = set(request, cell)
        default:
            guard let answer = state.withLock({ $0.answers[cell] })?(request) else {
                throw .failed(cell, "no answer to \(R.kind)")
            }
            reply = answer
        }
        guard let typed = reply as? R.Reply else { throw .malformed(cell, R.kind) }
        return typed
    }

    private func get(_ request: GetRequest, _ cell: CellPath) -> GetRequest.Reply {
        let view = ServerView(request.view)
        let servers = state.withLock { state in
            request.ids.compactMap { id in
                state.servers[id].flatMap { $0.cell == cell && $0.instance.state.vm != .deleted ? $0.instance : nil }
            }
        }
        return GetRequest.Reply(
            rows: servers.map { instance in
                .init(id: instance.id, version: instance.version, rendered: view.render(instance, host: host(instance)))
            })
    }

    private func host(_ instance: Instance) -> ServerView.Host? {
        state.withLock { state in
            state.hosts.first { $0.record.name == instance.host }.map { ServerView.Host($0.record) }
        }
    }

    private func set(_ request: SetHostRequest, _ cell: CellPath) -> SetHostRequest.Reply {
        state.withLock { state in
            guard
                let index = state.hosts.firstIndex(where: {
                    $0.record.name == request.host && $0.record.cell == cell
                })
            else { return .notFound }
            state.hosts[index].record.isEnabled = request.isEnabled
            state.hosts[index].record.disabledReason = request.reason
            return .changed(state.hosts[index].record)
        }
    }

    private func act(_ request: ActRequest, _ cell: CellPath, key: String?) -> ActRequest.Reply {
        let changed: (Instance?, ActRequest.Reply?) = state.withLock { state in
            guard var server = state.servers[request.id], server.cell == cell else { return (nil, .notFound) }
            if let key, state.idempotencyKeys[request.id]?.contains(key) == true { return (server.instance, nil) }
            if let refusal = Self.apply(request.action, to: &server.instance) { return (nil, refusal) }
            server.instance.version += 1
            state.servers[request.id] = server
            if let key { state.idempotencyKeys[request.id, default: []].insert(key) }
            return (server.instance, nil)
        }
        if let refusal = changed.1 { return refusal }
        guard let instance = changed.0, let view = request.view else { return .accepted(rendered: nil) }
        return .accepted(rendered: ServerView(view).render(instance, host: host(instance)))
    }

    private static func apply(_ action: ServerAction, to instance: inout Instance) -> ActRequest.Reply? {
        let event: ServerStateMachine.Event
        switch action {
        case .start: event = .start
        case .stop: event = .stop
        case .reboot(let hard): event = hard ? .hardReboot : .softReboot
        case .delete: event = .delete
        case .update(let changes):
            instance.name = changes.name ?? instance.name
            instance.diskConfig = changes.diskConfig ?? instance.diskConfig
            instance.hostname = changes.hostname ?? instance.hostname
            if case .set(let text) = changes.description { instance.description = text }
            if case .set(let text) = changes.accessIPv4 { instance.accessIPv4 = text }
            if case .set(let text) = changes.accessIPv6 { instance.accessIPv6 = text }
            return nil
        case .replaceMetadata(let metadata):
            instance.metadata = metadata
            return nil
        case .mergeMetadata(let metadata):
            instance.metadata.merge(metadata) { $1 }
            return nil
        case .removeMetadata(let key):
            instance.metadata[key] = nil
            return nil
        case .lock(let reason):
            instance.isLocked = true
            instance.lockedReason = reason
            return nil
        case .unlock:
            instance.isLocked = false
            instance.lockedReason = nil
            return nil
        }
        do throws(ServerStateMachine.Refusal) {
            instance.state = try ServerStateMachine.next(instance.state, event)
            return nil
        } catch {
            return .conflict(message: error.description)
        }
    }
}
