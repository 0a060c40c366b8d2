import Primitives
import Testing

@testable import SagaEngine

/// A machine, and the log that a crash would leave.
struct Run {
    var machine: SagaMachine
    var log: [SagaLogEntry] = []

    init(_ definition: SagaDefinition) { machine = SagaMachine(definition) }

    @discardableResult
    mutating func handle(_ event: SagaEvent) throws -> [SagaAction] {
        let actions = try machine.handle(event)
        for case .log(let entry) in actions { log.append(entry) }
        return actions
    }

    func replayed() throws -> Run {
        var copy = self
        copy.machine = try SagaMachine(machine.definition, replaying: log)
        return copy
    }
}

let transient = SagaFailure(reason: "busy", details: "", isPermanent: false)
let permanent = SagaFailure(reason: "broken", details: "", isPermanent: true)

let three = SagaDefinition(
    name: "three", version: 1,
    steps: [
        SagaStep(name: "a", timeout: .seconds(1), undo: SagaUndo(retry: .once, patience: nil)),
        SagaStep(
            name: "b", timeout: .seconds(1), retry: .atMost(2), undo: SagaUndo(retry: .atMost(2), patience: .seconds(1))
        ),
        SagaStep(name: "c", timeout: .seconds(1)),
    ])

let committing = SagaDefinition(
    name: "committing", version: 1,
    steps: [
        SagaStep(name: "a", timeout: nil, undo: SagaUndo(retry: .untilDone, patience: nil)),
        SagaStep(name: "b", timeout: nil, retry: .untilDone, isPointOfNoReturn: true),
        SagaStep(name: "c", timeout: nil, retry: .atMost(2)),
    ])

private func attempt(_ step: String, _ generation: Int, tries: Int = 1) -> SagaAttempt {
    SagaAttempt(step: step, generation: generation, tries: tries)
}

private func done(_ step: String, _ generation: Int) -> SagaEvent {
    .succeeded(step: step, generation: generation, output: .null)
}

@Suite struct SagaMachineTests {
    @Test func stepsRunInOrderAndEachIsLoggedBeforeItRuns() throws {
        var run = Run(three)
        #expect(try run.handle(.resume) == [.log(.started(step: "a", generation: 1)), .run(attempt("a", 1))])
        #expect(
            try run.handle(done("a", 1)) == [
                .log(.succeeded(step: "a", generation: 1, output: .null)), .log(.started(step: "b", generation: 2)),
                .run(attempt("b", 2)),
            ])
        try run.handle(.succeeded(step: "b", generation: 2, output: .integer(7)))
        #expect(run.machine.outputs["b"] == .integer(7))
        #expect(
            try run.handle(done("c", 3)) == [
                .log(.succeeded(step: "c", generation: 3, output: .null)), .finish(.succeeded),
            ])
        #expect(run.machine.outcome == .succeeded)
        #expect(run.machine.pending == nil)
    }

    @Test func aPermanentFailureUndoesTheFailedStepAndThoseBeforeIt() throws {
        var run = Run(three)
        try run.handle(.resume)
        try run.handle(done("a", 1))
        #expect(
            try run.handle(.failed(step: "b", generation: 2, failure: permanent)) == [
                .log(.failed(step: "b", generation: 2, failure: permanent)),
                .log(.undoStarted(step: "b", generation: 3)), .undo(attempt("b", 3)),
            ])
        #expect(
            try run.handle(.undoFinished(step: "b", generation: 3)) == [
                .log(.undoFinished(step: "b", generation: 3)), .log(.undoStarted(step: "a", generation: 4)),
                .undo(attempt("a", 4)),
            ])
        #expect(
            try run.handle(.undoFinished(step: "a", generation: 4)) == [
                .log(.undoFinished(step: "a", generation: 4)), .finish(.failed(permanent)),
            ])
    }

    @Test func aFailureThatMayPassIsTriedAgainUnderANewGenerationAndOnlySoOften() throws {
        var run = Run(three)
        try run.handle(.resume)
        try run.handle(done("a", 1))
        #expect(
            try run.handle(.failed(step: "b", generation: 2, failure: transient)) == [
                .log(.failed(step: "b", generation: 2, failure: transient)), .log(.started(step: "b", generation: 3)),
                .run(attempt("b", 3, tries: 2)),
            ])
        let actions = try run.handle(.failed(step: "b", generation: 3, failure: transient))
        #expect(actions.last == .undo(attempt("b", 4)))
    }

    @Test func aTimeoutIsAFailureThatIsNotTriedAgain() throws {
        var run = Run(three)
        try run.handle(.resume)
        try run.handle(done("a", 1))
        #expect(try run.handle(.timedOut(step: "b", generation: 2)).last == .undo(attempt("b", 3)))
        guard case .undoing(_, .failed(let failure)) = run.machine.phase else {
            Issue.record("not undoing")
            return
        }
        #expect(failure == .timedOut(step: "b"))
    }

    @Test func anUndoThatFailsIsTriedAgainAndThenParksTheSaga() throws {
        var run = Run(three)
        try run.handle(.resume)
        try run.handle(done("a", 1))
        try run.handle(.failed(step: "b", generation: 2, failure: permanent))
        #expect(
            try run.handle(.undoFailed(step: "b", generation: 3, failure: transient)).last
                == .undo(attempt("b", 4, tries: 2)))
        #expect(
            try run.handle(.undoFailed(step: "b", generation: 4, failure: transient)).last
                == .finish(.parked(transient)))
    }

    @Test func anUndoAnsweredTwiceIsTakenOnce() throws {
        var run = Run(three)
        try run.handle(.resume)
        try run.handle(.failed(step: "a", generation: 1, failure: permanent))
        try run.handle(.undoFinished(step: "a", generation: 2))
        #expect(throws: SagaRefusal.ended) { try run.handle(.undoFinished(step: "a", generation: 2)) }
    }

    @Test(arguments: [
        SagaEvent.succeeded(step: "a", generation: 1, output: .null),
        .failed(step: "a", generation: 1, failure: permanent), .timedOut(step: "a", generation: 1),
        .succeeded(step: "b", generation: 1, output: .null), .succeeded(step: "c", generation: 2, output: .null),
        .undoFinished(step: "b", generation: 2), .undoFailed(step: "b", generation: 2, failure: permanent),
        .undoOverdue(step: "b", generation: 2), .succeeded(step: "b", generation: 3, output: .null),
    ])
    func whatIsNotAboutThePendingAttemptIsStale(event: SagaEvent) throws {
        var run = Run(three)
        try run.handle(.resume)
        try run.handle(done("a", 1))
        let before = run.machine
        #expect(throws: SagaRefusal.stale) { try run.handle(event) }
        #expect(run.machine == before)
    }

    @Test func aCancelledSagaUndoesTheRunningStepAndThoseBeforeIt() throws {
        var run = Run(three)
        try run.handle(.resume)
        try run.handle(done("a", 1))
        #expect(
            try run.handle(.cancel) == [
                .log(.cancelled), .log(.undoStarted(step: "b", generation: 3)), .undo(attempt("b", 3)),
            ])
        #expect(try run.handle(.cancel) == [])
        try run.handle(.undoFinished(step: "b", generation: 3))
        #expect(try run.handle(.undoFinished(step: "a", generation: 4)).last == .finish(.cancelled))
    }

    @Test func aSagaCancelledBeforeItBeganIsOverAtOnce() throws {
        var run = Run(three)
        #expect(try run.handle(.cancel) == [.log(.cancelled), .finish(.cancelled)])
        #expect(throws: SagaRefusal.ended) { try run.handle(.cancel) }
    }

    @Test func aCancelMeetsARunningUndoAndChangesOnlyTheOutcome() throws {
        var run = Run(three)
        try run.handle(.resume)
        try run.handle(.failed(step: "a", generation: 1, failure: permanent))
        #expect(try run.handle(.cancel) == [.log(.cancelled)])
        #expect(try run.handle(.undoFinished(step: "a", generation: 2)).last == .finish(.cancelled))
    }

    @Test func aStepWithoutUndoIsSkippedOnTheWayBack() throws {
        var run = Run(three)
        try run.handle(.resume)
        try run.handle(done("a", 1))
        try run.handle(done("b", 2))
        #expect(
            try run.handle(.failed(step: "c", generation: 3, failure: permanent)).last == .undo(attempt("b", 4)))
    }

    @Test func anOverdueUndoIsAnnouncedOnceAndGoesOn() throws {
        var run = Run(three)
        try run.handle(.resume)
        try run.handle(.failed(step: "a", generation: 1, failure: permanent))
        #expect(
            try run.handle(.undoOverdue(step: "a", generation: 2)) == [.log(.announced), .announce(permanent)])
        #expect(try run.handle(.undoOverdue(step: "a", generation: 2)) == [])
        #expect(run.machine.isAnnounced)
        #expect(try run.handle(.undoFinished(step: "a", generation: 2)).last == .finish(.failed(permanent)))
    }

    @Test func aCancelledUndoIsNotAnnounced() throws {
        var run = Run(three)
        try run.handle(.resume)
        try run.handle(.cancel)
        #expect(try run.handle(.undoOverdue(step: "a", generation: 2)) == [])
    }

    @Test func pastThePointOfNoReturnNothingIsCancelledAndFailuresAreRepeatedOrPark() throws {
        var run = Run(committing)
        try run.handle(.resume)
        #expect(!run.machine.isCommitted)
        try run.handle(done("a", 1))
        #expect(run.machine.isCommitted)
        #expect(throws: SagaRefusal.pastPointOfNoReturn) { try run.handle(.cancel) }
        #expect(
            try run.handle(.failed(step: "b", generation: 2, failure: permanent)).last
                == .run(attempt("b", 3, tries: 2)))
        try run.handle(done("b", 3))
        #expect(throws: SagaRefusal.pastPointOfNoReturn) { try run.handle(.cancel) }
        try run.handle(.failed(step: "c", generation: 4, failure: transient))
        #expect(
            try run.handle(.failed(step: "c", generation: 5, failure: transient)).last == .finish(.parked(transient)))
    }

    @Test func resumingRepeatsTheLastPromiseUnderTheSameGeneration() throws {
        var run = Run(three)
        try run.handle(.resume)
        #expect(try run.handle(.resume) == [.run(attempt("a", 1))])
        try run.handle(.failed(step: "a", generation: 1, failure: permanent))
        #expect(try run.handle(.resume) == [.undo(attempt("a", 2))])
        try run.handle(.undoFinished(step: "a", generation: 2))
        #expect(try run.handle(.resume) == [.finish(.failed(permanent))])
    }

    @Test func aLogThatDoesNotFitIsCorrupt() {
        #expect(throws: SagaLogCorruption.self) {
            try SagaMachine(three, replaying: [.started(step: "b", generation: 1)])
        }
        #expect(throws: SagaLogCorruption.self) {
            try SagaMachine(
                three, replaying: [.started(step: "a", generation: 1), .undoFinished(step: "a", generation: 1)])
        }
        #expect(throws: SagaLogCorruption.self) {
            try SagaMachine(
                three,
                replaying: [
                    .started(step: "a", generation: 2), .succeeded(step: "a", generation: 2, output: .null),
                    .started(step: "b", generation: 2),
                ])
        }
    }
}
