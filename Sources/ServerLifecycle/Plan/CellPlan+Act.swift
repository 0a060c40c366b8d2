package import CellProtocol
package import CloudModel
package import MessageBus
import SagaEngine

/// A user's request to change a server, with who asks.
package struct ActOrder: Sendable {
    package var request: ActRequest
    package var caller: Caller?
    package var requestID: String
    package var idempotencyKey: String
    package var traceParent: String?
    /// For the saga, if one is needed.
    package var sagaID: SagaID

    package init(
        request: ActRequest, caller: Caller?, requestID: String, idempotencyKey: String, traceParent: String?,
        sagaID: SagaID
    ) {
        self.request = request
        self.caller = caller
        self.requestID = requestID
        self.idempotencyKey = idempotencyKey
        self.traceParent = traceParent
        self.sagaID = sagaID
    }
}

package enum ActOutcome: Sendable, Equatable {
    /// The server as it is now.
    case accepted(Instance)
    case conflict(String)
    case notFound
    case badRequest(String)
    case locked
}

extension CellPlan {
    /// Does what a user asks, as far as the transition table lets it. The same idempotency key has the same effect once.
    package mutating func act(_ order: ActOrder) -> ActOutcome {
        let id = order.request.id
        guard let server = snapshot.servers[id], isVisible(server, to: order.caller) else { return .notFound }
        if snapshot.knownKeys.contains(order.idempotencyKey) { return .accepted(server.instance) }
        guard !server.isDeleted else { return .notFound }
        if isBlockedByLock(order, server) { return .locked }
        switch order.request.action {
        case .start: return begin(.start, .start, order)
        case .stop: return begin(.stop, .stop, order)
        case .reboot(hard: false): return begin(.softReboot, .softReboot, order)
        case .reboot(hard: true): return begin(.hardReboot, .hardReboot, order)
        case .delete: return delete(order)
        case .update(let changes): return edit(id) { $0.apply(changes) }
        case .replaceMetadata(let metadata): return edit(id) { $0.metadata = metadata }
        case .mergeMetadata(let metadata):
            let merged = server.instance.metadata.merging(metadata) { $1 }
            if let limit = order.request.metadataLimit, limit >= 0, merged.count > limit {
                return .badRequest("Maximum number of metadata items exceeds \(limit)")
            }
            return edit(id) { $0.metadata = merged }
        case .removeMetadata(let key):
            guard server.instance.metadata[key] != nil else { return .badRequest("Metadata item was not found") }
            return edit(id) { $0.metadata[key] = nil }
        case .lock(let reason): return setLock(order, isLocked: true, reason: reason)
        case .unlock: return setLock(order, isLocked: false, reason: nil)
        }
    }

    /// A cell trusts its parent with the question who may do what, but never shows one project's server to another.
    private func isVisible(_ server: StoredServer, to caller: Caller?) -> Bool {
        guard let caller else { return true }
        return caller.isAdmin || caller.projectID == server.instance.projectID.text
    }

    private func isBlockedByLock(_ order: ActOrder, _ server: StoredServer) -> Bool {
        guard server.instance.isLocked, order.caller?.isAdmin != true else { return false }
        switch order.request.action {
        case .start, .stop, .reboot, .delete, .replaceMetadata, .mergeMetadata, .removeMetadata: return true
        case .update, .lock, .unlock: return false
        }
    }

    private mutating func edit(_ id: ServerID, _ body: (inout Instance) -> Void) -> ActOutcome {
        change(id, body)
        return outcome(id)
    }

    private func outcome(_ id: ServerID) -> ActOutcome {
        guard let server = snapshot.servers[id] else { return .notFound }
        return .accepted(server.instance)
    }

    private mutating func setLock(_ order: ActOrder, isLocked: Bool, reason: String?) -> ActOutcome {
        let id = order.request.id
        change(id) {
            $0.isLocked = isLocked
            $0.lockedReason = reason
        }
        var action = record(order)
        action.finishedAt = now
        newActions.append(action)
        return outcome(id)
    }

    private func record(_ order: ActOrder) -> CellActionRecord {
        CellActionRecord(
            serverID: order.request.id, action: order.request.action.name, requestID: order.requestID,
            idempotencyKey: order.idempotencyKey, userID: order.caller?.userID ?? "",
            projectID: order.caller?.projectID ?? "", startedAt: now)
    }

    // MARK: Sagas

    private mutating func begin(
        _ kind: ServerSaga, _ event: ServerStateMachine.Event, _ order: ActOrder
    ) -> ActOutcome {
        let id = order.request.id
        if let refusal = apply(event, to: id) { return .conflict(refusal.description) }
        guard let server = snapshot.servers[id], let host = server.instance.host else {
            return .conflict("host None")
        }
        // The table lets a hard reboot overtake another reboot.
        supersede(server)
        start(
            kind, id: order.sagaID, on: server, host: host,
            input: SagaInput(requestID: order.requestID, traceParent: order.traceParent), action: record(order))
        return outcome(id)
    }

    private mutating func delete(_ order: ActOrder) -> ActOutcome {
        let id = order.request.id
        guard let was = snapshot.servers[id]?.instance else { return .notFound }
        // Asked again while it goes on; one whose saga was parked is taken up anew.
        let isUnderWay = snapshot.liveSagas(of: id).contains { $0.epoch == was.epoch }
        if was.state.task == .deleting, isUnderWay { return outcome(id) }
        if let refusal = apply(.delete, to: id) { return .conflict(refusal.description) }
        guard let server = snapshot.servers[id] else { return .notFound }
        let boot = supersede(server)
        var action = record(order)
        if snapshot.servers[id]?.isDeleted == true {
            action.finishedAt = now
            newActions.append(action)
        } else if let boot {
            action.sagaID = boot
            newActions.append(action)
        } else if let host = server.instance.host {
            start(
                .delete, id: order.sagaID, on: server, host: host,
                input: SagaInput(requestID: order.requestID, traceParent: order.traceParent), action: action)
        } else {
            action.finishedAt = now
            newActions.append(action)
            remove(id)
        }
        return outcome(id)
    }

    /// Cancels what is being done to the server's current attempt.
    /// - Returns: the boot saga that now undoes itself and deletes the server at its end, if there is one.
    @discardableResult
    private mutating func supersede(_ server: StoredServer) -> SagaID? {
        var undoing: SagaID?
        for saga in snapshot.liveSagas(of: server.instance.id) where saga.epoch == server.instance.epoch {
            do throws(SagaPlanError) {
                let rest = try advance(saga.id, by: .cancel, ownership: .released)
                if rest != nil, saga.name == ServerSaga.boot.rawValue { undoing = saga.id }
            } catch {
                // Past its point of no return, unreadable, or another version's: its own end decides.
                continue
            }
        }
        return undoing
    }
}

extension Instance {
    mutating func apply(_ changes: ServerChanges) {
        if let name = changes.name { self.name = name }
        if let hostname = changes.hostname { self.hostname = hostname }
        if let diskConfig = changes.diskConfig { self.diskConfig = diskConfig }
        if case .set(let value) = changes.description { description = value }
        if case .set(let value) = changes.accessIPv4 { accessIPv4 = value }
        if case .set(let value) = changes.accessIPv6 { accessIPv6 = value }
    }
}
