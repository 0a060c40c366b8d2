package import CellProtocol
import CloudModel
package import MessageBus
import Primitives
import SagaEngine

extension CellPlan {
    /// Takes a server to build, or says why not. A repeat of what was taken is taken again and changes nothing.
    /// - Parameter sagaID: for the boot saga, if one is needed.
    /// - Returns: why it is refused; nil when it is taken.
    package mutating func admit(
        _ build: BuildSpecification, sagaID: SagaID, caller: Caller?, traceParent: String?
    ) -> String? {
        let instance = build.instance
        guard let host = instance.host, snapshot.knownHosts.contains(host) else {
            return "there is no host \(instance.host?.text ?? "-") in this cell"
        }
        guard instance.state.vm == .building else { return "the server is not being built" }
        var version = instance.version
        if let old = snapshot.servers[instance.id] {
            if old.instance.epoch == instance.epoch { return nil }
            if old.instance.epoch > instance.epoch {
                return "attempt \(instance.epoch) is overtaken by attempt \(old.instance.epoch)"
            }
            if old.isDeleted { return "the server was deleted here" }
            // A failure that was told while its undo goes on leaves the server in error: that one may be built anew.
            let isOver = snapshot.liveSagas(of: instance.id).isEmpty || old.instance.state.vm == .error
            guard isOver, old.instance.state.task == nil else {
                return "attempt \(old.instance.epoch) is not over"
            }
            version = max(version, old.instance.version + 1)
        }
        var server = StoredServer(
            instance: instance,
            build: BuildContext(requestID: build.requestID, publicKey: build.publicKey, image: build.image))
        server.instance.version = version
        server.instance.updatedAt = now
        snapshot.servers[instance.id] = server
        touched.insert(instance.id)
        apply(.hostChosen, to: instance.id)
        // The parent knows: it sent it.
        silenced.insert(instance.id)
        start(
            .boot, id: sagaID, on: server, host: host,
            input: SagaInput(requestID: build.requestID, traceParent: traceParent),
            action: CellActionRecord(
                serverID: instance.id, action: ServerSaga.boot.action, requestID: build.requestID,
                idempotencyKey: "build-\(instance.epoch)", userID: caller?.userID ?? instance.userID.text,
                projectID: caller?.projectID ?? instance.projectID.text, startedAt: now))
        return nil
    }
}
