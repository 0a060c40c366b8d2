import SagaEngine
import ServerLifecycle

/// One way that a saga may take, made from its definition: what its host answers, and what people do meanwhile.
struct SagaScript: Sendable, CustomStringConvertible {
    enum Kind: String, CaseIterable { case succeeds, fails, timesOut, isDeletedMeanwhile, parks }

    let saga: ServerSaga
    let kind: Kind
    let name: String
    var answers: [SagaHost.Part: [SagaHost.Answer]] = [:]
    /// The user deletes the server while this part is waited for.
    var deletesDuring: SagaHost.Part?
    /// What the operator does when it parks.
    var operatorAbandons = false

    var description: String { "\(saga.rawValue): \(name)" }

    /// Every way of every step.
    static func all(of saga: ServerSaga) -> [SagaScript] {
        [SagaScript(saga: saga, kind: .succeeds, name: "succeeds")]
            + saga.definition.steps.flatMap { step in running(step, of: saga) + undoing(step, of: saga) }
    }

    private static func running(_ step: SagaStep, of saga: ServerSaga) -> [SagaScript] {
        let part = SagaHost.Part(step: step.name, isUndo: false)
        var scripts: [SagaScript] = []
        func add(_ kind: Kind, _ name: String, _ answers: [SagaHost.Answer]) {
            scripts.append(SagaScript(saga: saga, kind: kind, name: "\(step.name) \(name)", answers: [part: answers]))
        }
        add(.succeeds, "is done and its answer is lost", [.isDoneInSilence])
        add(.fails, "fails once", [.fails(permanent: false)])
        add(.fails, "is done and fails once", [.failsLate(permanent: false)])
        if step.isPointOfNoReturn, let attempts = parking(step.retry) {
            for abandons in [false, true] {
                var script = SagaScript(
                    saga: saga, kind: .parks, name: "\(step.name) parks, \(abandons ? "abandoned" : "retried")",
                    answers: [part: Array(repeating: .fails(permanent: true), count: attempts)])
                script.operatorAbandons = abandons
                scripts.append(script)
            }
        } else {
            add(.fails, "fails for good", [.fails(permanent: true)])
            add(.fails, "is done and fails for good", [.failsLate(permanent: true)])
        }
        if step.timeout != nil {
            add(.timesOut, "is silent for ever", Array(repeating: .isSilent, count: 1))
        }
        if saga != .delete {
            var script = SagaScript(saga: saga, kind: .isDeletedMeanwhile, name: "deleted during \(step.name)")
            script.deletesDuring = part
            scripts.append(script)
        }
        return scripts
    }

    private static func undoing(_ step: SagaStep, of saga: ServerSaga) -> [SagaScript] {
        guard let undo = step.undo else { return [] }
        let run = SagaHost.Part(step: step.name, isUndo: false)
        let part = SagaHost.Part(step: step.name, isUndo: true)
        var scripts: [SagaScript] = []
        func add(_ kind: Kind, _ name: String, _ answers: [SagaHost.Answer]) -> SagaScript {
            SagaScript(
                saga: saga, kind: kind, name: "undo \(step.name) \(name)",
                answers: [run: [.failsLate(permanent: true)], part: answers])
        }
        scripts.append(add(.fails, "fails once", [.fails(permanent: true)]))
        scripts.append(add(.fails, "is done, fails, and is done again", [.failsLate(permanent: false)]))
        scripts.append(add(.fails, "is done and its answer is lost", [.isDoneInSilence]))
        if let attempts = parking(undo.retry) {
            let failures = Array(repeating: SagaHost.Answer.fails(permanent: true), count: attempts)
            scripts.append(add(.parks, "parks, retried", failures))
            var abandoned = add(.parks, "parks, abandoned", failures)
            abandoned.operatorAbandons = true
            scripts.append(abandoned)
            var deleted = add(.parks, "of a deleted server parks, retried", failures)
            deleted.answers[run] = nil
            deleted.deletesDuring = run
            scripts.append(deleted)
        }
        return scripts
    }

    private static func parking(_ retry: SagaRetry) -> Int? {
        switch retry {
        case .atMost(let limit), .insisting(let limit): limit
        case .untilDone: nil
        }
    }
}
