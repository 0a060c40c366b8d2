package import CellProtocol
import CloudModel
import FoundationEssentials
import SagaEngine

extension SagaDescription {
    /// - Parameter isWhole: with its steps and its log.
    package init(_ saga: SagaRecord, isWhole: Bool) {
        let standing = saga.standing
        let last = saga.runs.last { $0.isSuccess == false }
        self.init(
            id: saga.id, name: saga.name, version: saga.version, state: saga.state, serverID: saga.serverID,
            host: saga.host, epoch: saga.epoch, requestID: saga.input.requestID, createdAt: saga.createdAt,
            changedAt: saga.log.last?.at ?? saga.createdAt, endedAt: saga.endedAt, message: saga.message,
            step: standing?.step, isUndoing: standing?.isUndo ?? false, tries: standing?.tries ?? 0,
            failure: saga.logProblem.map { "its log can't be read by this release: \($0)" } ?? last?.details,
            lease: saga.holder.map { Lease(owner: $0.owner, until: $0.until) }, leaseEpoch: saga.leaseEpoch,
            remains: saga.remains, steps: isWhole ? saga.runs : nil, log: isWhole ? saga.log.map { Entry($0) } : nil)
    }
}

extension SagaDescription.Entry {
    init(_ logged: LoggedEntry) {
        switch logged.entry {
        case .started(let step, let generation):
            self.init(at: logged.at, event: "started", step: step, generation: generation)
        case .succeeded(let step, let generation, _):
            self.init(at: logged.at, event: "succeeded", step: step, generation: generation)
        case .failed(let step, let generation, let failure):
            self.init(
                at: logged.at, event: "failed", step: step, generation: generation, reason: failure.details)
        case .undoStarted(let step, let generation):
            self.init(at: logged.at, event: "undo-started", step: step, generation: generation)
        case .undoFinished(let step, let generation):
            self.init(at: logged.at, event: "undo-finished", step: step, generation: generation)
        case .undoFailed(let step, let generation, let failure):
            self.init(
                at: logged.at, event: "undo-failed", step: step, generation: generation, reason: failure.details)
        case .cancelled: self.init(at: logged.at, event: "cancelled")
        case .announced: self.init(at: logged.at, event: "announced")
        case .retried: self.init(at: logged.at, event: "retried")
        case .abandoned(let reason): self.init(at: logged.at, event: "abandoned", reason: reason)
        }
    }
}

extension SagaRecord {
    /// Every attempt of every step, in the order in which they were begun.
    package var runs: [StepRun] {
        var runs: [StepRun] = []
        func end(_ generation: Int, at date: Date, _ failure: SagaFailure?) {
            guard let index = runs.lastIndex(where: { $0.generation == generation }) else { return }
            runs[index].finishedAt = date
            runs[index].isSuccess = failure == nil
            runs[index].reason = failure?.reason
            runs[index].details = failure?.details
        }
        for logged in log {
            switch logged.entry {
            case .started(let step, let generation):
                runs.append(.init(step: step, isUndo: false, generation: generation, startedAt: logged.at))
            case .undoStarted(let step, let generation):
                runs.append(.init(step: step, isUndo: true, generation: generation, startedAt: logged.at))
            case .succeeded(_, let generation, _), .undoFinished(_, let generation):
                end(generation, at: logged.at, nil)
            case .failed(_, let generation, let failure), .undoFailed(_, let generation, let failure):
                end(generation, at: logged.at, failure)
            case .cancelled, .announced, .retried, .abandoned: break
            }
        }
        return runs
    }

    /// Where its log ends: the step, whether it is being undone, and its attempts since it was begun or taken up again.
    fileprivate var standing: (step: String, isUndo: Bool, tries: Int)? {
        var standing: (step: String, isUndo: Bool, tries: Int)?
        for logged in log {
            let (step, isUndo): (String, Bool)
            switch logged.entry {
            case .started(let name, _): (step, isUndo) = (name, false)
            case .undoStarted(let name, _): (step, isUndo) = (name, true)
            case .retried:
                standing?.tries = 0
                continue
            case .succeeded, .failed, .undoFinished, .undoFailed, .cancelled, .announced, .abandoned: continue
            }
            let isRepeat = standing?.step == step && standing?.isUndo == isUndo
            standing = (step, isUndo, isRepeat ? (standing?.tries ?? 0) + 1 : 1)
        }
        return standing
    }
}
