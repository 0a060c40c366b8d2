import Primitives
import Testing

@testable import SagaEngine

/// What an operator does with a saga that can't go on by itself.
@Suite struct SagaOrderTests {
    /// `committing`, parked at its last step, past the point of no return.
    private func parkedStep() throws -> Run {
        var run = Run(committing)
        try run.handle(.resume)
        for (step, generation) in [("a", 1), ("b", 2)] {
            try run.handle(.succeeded(step: step, generation: generation, output: .null))
        }
        for generation in 3...4 { try run.handle(.failed(step: "c", generation: generation, failure: transient)) }
        try #require(run.machine.outcome == .parked(transient))
        return run
    }

    /// `three`, parked at the undo of its first step.
    private func parkedUndo(_ failure: SagaFailure = permanent) throws -> Run {
        var run = Run(three)
        try run.handle(.resume)
        try run.handle(.failed(step: "a", generation: 1, failure: failure))
        try run.handle(.undoFailed(step: "a", generation: 2, failure: transient))
        try #require(run.machine.outcome == .parked(transient))
        return run
    }

    @Test func aRetryGoesOnAtTheStepWhereItStoodWithAllAttemptsAnew() throws {
        var run = try parkedStep()
        #expect(
            try run.handle(.retry) == [
                .log(.retried), .log(.started(step: "c", generation: 5)),
                .run(SagaAttempt(step: "c", generation: 5, tries: 1)),
            ])
        #expect(try run.replayed().machine == run.machine)
        try run.handle(.failed(step: "c", generation: 5, failure: transient))
        #expect(run.machine.outcome == nil)
        #expect(
            try run.handle(.failed(step: "c", generation: 6, failure: transient)).last == .finish(.parked(transient)))
        try run.handle(.retry)
        #expect(try run.handle(.succeeded(step: "c", generation: 7, output: .null)).last == .finish(.succeeded))
    }

    @Test func aRetryGoesOnWithAnUndoAndItsFailureIsNotToldAgain() throws {
        var run = try parkedUndo()
        #expect(!run.machine.isAnnounced)
        #expect(
            try run.handle(.retry) == [
                .log(.retried), .log(.undoStarted(step: "a", generation: 3)),
                .undo(SagaAttempt(step: "a", generation: 3, tries: 1)),
            ])
        #expect(run.machine.isAnnounced)
        #expect(try run.handle(.undoOverdue(step: "a", generation: 3)).isEmpty)
        #expect(try run.replayed().machine == run.machine)
        #expect(try run.handle(.undoFinished(step: "a", generation: 3)).last == .finish(.failed(permanent)))
    }

    @Test func onlyAParkedSagaIsRetried() throws {
        var live = Run(three)
        try live.handle(.resume)
        #expect(throws: SagaRefusal.notParked) { try live.handle(.retry) }
        for (step, generation) in [("a", 1), ("b", 2), ("c", 3)] {
            try live.handle(.succeeded(step: step, generation: generation, output: .null))
        }
        #expect(throws: SagaRefusal.ended) { try live.handle(.retry) }
    }

    @Test func aParkedSagaTakesNothingButAnOperatorsWord() throws {
        for run in [try parkedStep(), try parkedUndo()] {
            for event in [
                SagaEvent.cancel, .succeeded(step: "c", generation: 4, output: .null),
                .undoFinished(step: "a", generation: 2), .timedOut(step: "c", generation: 4),
            ] {
                var copy = run
                #expect(throws: SagaRefusal.ended) { try copy.handle(event) }
                #expect(copy.machine == run.machine)
            }
            #expect(run.machine.pending == nil)
        }
    }

    @Test func anythingThatHasNotEndedIsGivenUpAndThenEndsForGood() throws {
        var live = Run(three)
        try live.handle(.resume)
        for run in [live, try parkedStep(), try parkedUndo()] {
            var run = run
            #expect(
                try run.handle(.abandon(reason: "gone")) == [
                    .log(.abandoned(reason: "gone")), .finish(.abandoned),
                ])
            #expect(try run.replayed().machine == run.machine)
            for event in [SagaEvent.retry, .abandon(reason: nil), .cancel] {
                #expect(throws: SagaRefusal.ended) { try run.handle(event) }
            }
        }
    }

    @Test func anUndoThatInsistsIsTriedWhateverTheFailureSays() throws {
        let definition = SagaDefinition(
            name: "insisting", version: 1,
            steps: [SagaStep(name: "a", timeout: nil, undo: SagaUndo(retry: .insisting(3), patience: nil))])
        var run = Run(definition)
        try run.handle(.resume)
        try run.handle(.failed(step: "a", generation: 1, failure: permanent))
        for generation in 2...3 {
            #expect(
                try run.handle(.undoFailed(step: "a", generation: generation, failure: permanent)).last
                    == .undo(SagaAttempt(step: "a", generation: generation + 1, tries: generation)))
        }
        #expect(
            try run.handle(.undoFailed(step: "a", generation: 4, failure: permanent)).last
                == .finish(.parked(permanent)))
    }
}
