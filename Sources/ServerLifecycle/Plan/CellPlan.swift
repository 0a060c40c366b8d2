import CellProtocol
package import CloudModel
package import FoundationEssentials
import SagaEngine

/// Decides, from a snapshot and what happened, everything that a transaction writes. Pure: no clock, no chance, no waiting.
///
/// Conductors and supervisors make one a transaction, tell it what happened, and hand ``changes()`` to the store:
///
///     snapshot → CellPlan → admit / act / advance / take / see … → changes()
package struct CellPlan: Sendable {
    package let now: Date
    /// As it will be after the transaction.
    package var snapshot: CellSnapshot
    private let before: [ServerID: StoredServer]

    var touched: Set<ServerID> = []
    /// Whose news goes upward in an event of its own.
    var silenced: Set<ServerID> = []
    var newSagas: [SagaID] = []
    var sagaChanges: [SagaID: SagaChange] = [:]
    var newActions: [CellActionRecord] = []
    var events: [CellEvent] = []
    /// What hosts' words put right.
    package internal(set) var mended: [ServerID: ServerMending] = [:]

    package init(_ snapshot: CellSnapshot, now: Date) {
        self.snapshot = snapshot
        self.now = now
        before = snapshot.servers
    }

    /// Everything decided so far, for the store.
    package func changes() -> CellChanges {
        var changes = CellChanges()
        for id in touched.sorted() {
            guard let server = snapshot.servers[id] else { continue }
            changes.servers[id] = server
            if let news = news(of: server, was: before[id]) { changes.events.append(news) }
        }
        changes.events += events
        changes.newSagas = newSagas.compactMap { snapshot.sagas[$0] }
        // A saga made here is written whole.
        changes.sagas = sagaChanges.filter { !newSagas.contains($0.key) }
        changes.newActions = newActions
        return changes
    }

    /// Steps within an action (networking, spawning, powering-off) are the cell's own affair; what clients filter and
    /// sort by goes upward.
    private func news(of server: StoredServer, was: StoredServer?) -> CellEvent? {
        guard !silenced.contains(server.instance.id) else { return nil }
        let summary = InstanceSummary(server.instance)
        guard let was else { return .instanceChanged(summary) }
        var old = InstanceSummary(was.instance)
        old.version = summary.version
        old.updatedAt = summary.updatedAt
        old.state.task = summary.state.task
        return old == summary ? nil : .instanceChanged(summary)
    }

    // MARK: Changing servers

    /// Applies what the transition table says, or changes nothing when it refuses.
    @discardableResult
    mutating func apply(_ event: ServerStateMachine.Event, to id: ServerID) -> ServerStateMachine.Refusal? {
        guard let server = snapshot.servers[id] else { return nil }
        do throws(ServerStateMachine.Refusal) {
            let next = try ServerStateMachine.next(server.instance.state, event)
            if next != server.instance.state { change(id) { $0.state = next } }
            return nil
        } catch {
            return error
        }
    }

    mutating func change(_ id: ServerID, _ body: (inout Instance) -> Void) {
        guard var server = snapshot.servers[id] else { return }
        body(&server.instance)
        server.instance.version += 1
        server.instance.updatedAt = now
        snapshot.servers[id] = server
        touched.insert(id)
    }

    /// The server is gone, everything of it undone.
    mutating func remove(_ id: ServerID) {
        guard apply(.deleted, to: id) == nil else { return }
        change(id) { [now] in $0.terminatedAt = now }
        guard let instance = snapshot.servers[id]?.instance else { return }
        silenced.insert(id)
        events.append(.instanceDeleted(InstanceDeletion(id: id, version: instance.version, deletedAt: now)))
    }

    // MARK: Starting sagas

    mutating func start(
        _ kind: ServerSaga, id: SagaID, on server: StoredServer, host: HostName, input: SagaInput,
        action: CellActionRecord
    ) {
        var input = input
        input.turn = server.instance.version
        let record = SagaRecord(
            id: id, name: kind.rawValue, version: kind.definition.version, serverID: server.instance.id, host: host,
            epoch: server.instance.epoch, input: input, createdAt: now)
        snapshot.sagas[id] = record
        newSagas.append(id)
        var action = action
        action.sagaID = id
        newActions.append(action)
    }
}
