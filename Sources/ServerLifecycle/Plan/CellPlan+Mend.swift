package import CellProtocol
package import CloudModel
import FoundationEssentials
import MessageBus
import Primitives
import SagaEngine

/// What a reconciler found and put right.
package enum ServerMending: String, Sendable, CaseIterable {
    /// A guest went off by itself: the server is SHUTOFF.
    case stoppedByItself = "stopped-by-itself"
    /// A guest was started behind the cell's back: it is stopped again, as its user wants it.
    case startedOutside = "started-outside"
    /// A server was marked as being worked on, and nobody was.
    case strandedTask = "stranded-task"
}

extension CellPlan {
    /// Puts a server right that is said to be worked on and has no saga: nobody would ever end its task.
    /// - Parameter sagaID: for a delete that must be begun anew.
    package mutating func mendTask(of id: ServerID, sagaID: SagaID) -> ServerMending? {
        guard let server = snapshot.servers[id], let task = server.instance.state.task,
            !snapshot.sagas.values.contains(where: { $0.serverID == id && $0.state.isOpen })
        else { return nil }
        let failure = SagaFailure(
            reason: "The operation was lost.", details: "task_state \(task.rawValue) without a saga", isPermanent: true)
        if task == .deleting, let host = server.instance.host {
            start(
                .delete, id: sagaID, on: server, host: host, input: SagaInput(requestID: "req-\(sagaID)"),
                action: reconciled("delete", server, sagaID))
        } else if task == .deleting {
            remove(id)
        } else if server.instance.state.vm == .building {
            apply(.gaveUp, to: id)
            setFault(id, failure)
            silenced.insert(id)
            events.append(
                .buildFailed(
                    BuildFailure(
                        id: id, epoch: server.instance.epoch, host: server.instance.host ?? "", reason: failure.reason))
            )
        } else {
            apply(.actionFailed, to: id)
        }
        return .strandedTask
    }

    /// Ends a guest that its user has stopped and that somebody has started on its host.
    mutating func stopAgain(_ server: StoredServer, sagaID: SagaID) {
        guard let host = server.instance.host else { return }
        start(
            .stop, id: sagaID, on: server, host: host, input: SagaInput(requestID: "req-\(sagaID)"),
            action: reconciled("stop", server, sagaID))
    }

    /// What nobody asked for is told as an action of the server's own project.
    private func reconciled(_ action: String, _ server: StoredServer, _ sagaID: SagaID) -> CellActionRecord {
        CellActionRecord(
            serverID: server.instance.id, action: action, requestID: "req-\(sagaID)", idempotencyKey: "mend-\(sagaID)",
            userID: "", projectID: server.instance.projectID.text, startedAt: now)
    }
}
