package import CellProtocol
import CloudModel
package import FoundationEssentials
import MessageBus
import Primitives
import SagaEngine

/// What a host's report led to.
package enum ReportOutcome: Sendable, Equatable {
    /// The saga moved; what it waits for now, nil when it has ended.
    case applied(Pursuit?)
    /// Known already, or about something that is over.
    case stale
    /// About a server that is not the sender's to report on.
    case foreign
    /// A guest of an attempt that is over lives on that host: it has to go.
    case orphan(AgentCommand, SagaInput)
    /// The saga's log can't be read, or this program does not know its version.
    case unreadable(SagaPlanError)
}

extension CellPlan {
    /// Takes the result of a step.
    /// - Parameters:
    ///   - hostKey: the sender, as the broker knows it.
    ///   - lease: the saga's new owner, if it goes on.
    package mutating func take(_ result: StepResult, from hostKey: String, lease: SagaLease) -> ReportOutcome {
        guard let saga = snapshot.sagas[result.key.saga] else { return .stale }
        guard CellTopology.hostKey(saga.host.text) == hostKey, saga.serverID == result.instanceID else {
            return .foreign
        }
        do throws(SagaPlanError) {
            return .applied(try advance(saga.id, by: Self.event(for: result), ownership: .taken(lease)))
        } catch .refused {
            return overdue(result, saga)
        } catch {
            return .unreadable(error)
        }
    }

    private static func event(for result: StepResult) -> SagaEvent {
        let isUndo = result.key.step.hasSuffix(undoSuffix)
        let step = stepName(of: result.key)
        let generation = result.key.generation
        switch result.outcome {
        case .succeeded(let power):
            return isUndo
                ? .undoFinished(step: step, generation: generation)
                : .succeeded(step: step, generation: generation, output: .integer(Int64(power.rawValue)))
        case .failed(let reason, let details, let isPermanent):
            let failure = SagaFailure(
                reason: bounded(reason, 500), details: bounded(details, 4000), isPermanent: isPermanent)
            return isUndo
                ? .undoFailed(step: step, generation: generation, failure: failure)
                : .failed(step: step, generation: generation, failure: failure)
        }
    }

    /// What a host writes is kept, so it is kept short, and without what the database can't hold.
    private static func bounded(_ text: String, _ limit: Int) -> String {
        String(text.prefix(limit).filter { $0 != "\0" })
    }

    /// A guest that was made after all, by an attempt that ended otherwise, must not stay.
    private func overdue(_ result: StepResult, _ saga: SagaRecord) -> ReportOutcome {
        switch saga.state {
        case .live, .succeeded, .parked: return .stale
        case .failed, .cancelled, .abandoned: break
        }
        guard saga.name == ServerSaga.boot.rawValue, result.key.step == "spawn", case .succeeded = result.outcome else {
            return .stale
        }
        // The agent refuses to spawn an attempt that it destroyed, so it is the old answer that came again, unless the
        // agent lost its memory; a destroy under a key of its own is right in both cases.
        let key = StepKey(saga: saga.id, step: "orphan", generation: result.key.generation)
        return .orphan(
            AgentCommand(key: key, instanceID: saga.serverID, epoch: saga.epoch, work: .destroy), saga.input)
    }

    /// Takes what a host says about a guest that changed by itself. A guest that went off is a server that is SHUTOFF; one
    /// that was started although its user has stopped it is stopped again, as Nova does.
    /// - Parameter sagaID: for the stop, if one is needed.
    /// - Returns: false when the server is not the sender's.
    package mutating func see(
        _ guest: GuestReport, at seenAt: Date, from hostKey: String, sagaID: SagaID
    ) -> Bool {
        guard let server = snapshot.servers[guest.id], let host = server.instance.host,
            CellTopology.hostKey(host.text) == hostKey
        else { return false }
        // Older than what is known: a shutdown on the way through a reboot, say.
        guard seenAt >= server.instance.updatedAt else { return true }
        let event: ServerStateMachine.Event
        switch guest.power {
        case .running: event = .sawRunning
        case .shutdown: event = .sawShutdown
        case .crashed: event = .sawCrashed
        case .noState, .paused, .suspended: return true
        }
        guard apply(event, to: guest.id) == nil, let now = snapshot.servers[guest.id] else { return true }
        if now.instance.state.task == .poweringOff {
            stopAgain(now, sagaID: sagaID)
            mended[guest.id] = .startedOutside
        } else if now.instance.state.vm == .stopped, server.instance.state.vm != .stopped {
            mended[guest.id] = .stoppedByItself
        }
        return true
    }
}
