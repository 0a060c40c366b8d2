import Primitives
import Testing

@testable import SagaEngine

/// Walks every path of a definition and crashes everywhere on it.
@Suite struct SagaCrashTests {
    /// What the world answers to a command: one choice a command.
    enum Answer: CaseIterable {
        case success, transientFailure, permanentFailure, timeout, cancelThenSuccess

        func event(for pending: (attempt: SagaAttempt, isUndo: Bool)) -> SagaEvent {
            let step = pending.attempt.step
            let generation = pending.attempt.generation
            let failure = SagaFailure(reason: "r", details: "d", isPermanent: self == .permanentFailure)
            switch (self, pending.isUndo) {
            case (.success, false), (.cancelThenSuccess, false):
                return .succeeded(step: step, generation: generation, output: .null)
            case (.success, true), (.cancelThenSuccess, true), (.timeout, true):
                return .undoFinished(step: step, generation: generation)
            case (.transientFailure, false), (.permanentFailure, false):
                return .failed(step: step, generation: generation, failure: failure)
            case (.transientFailure, true), (.permanentFailure, true):
                return .undoFailed(step: step, generation: generation, failure: failure)
            case (.timeout, false): return .timedOut(step: step, generation: generation)
            }
        }
    }

    static let answers = Answer.allCases

    /// All sequences of four answers, then only successes.
    static var scripts: [[Answer]] {
        answers.flatMap { a in answers.flatMap { b in answers.flatMap { c in answers.map { d in [a, b, c, d] } } } }
    }

    /// Runs to the end; `crashes` says whether to replay the log before every event.
    private func outcome(
        _ definition: SagaDefinition, _ script: [Answer], crashes: Bool
    ) throws -> (SagaOutcome, [SagaLogEntry]) {
        var run = Run(definition)
        try run.handle(.resume)
        var answers = script[...]
        var turns = 0
        while run.machine.outcome == nil {
            turns += 1
            try #require(turns < 100)
            if crashes {
                let before = run.machine
                run = try run.replayed()
                #expect(run.machine == before)
                try run.handle(.resume)
                #expect(run.machine == before)
            }
            let answer = answers.popFirst() ?? .success
            if answer == .cancelThenSuccess, !run.machine.isCommitted { try run.handle(.cancel) }
            guard let pending = run.machine.pending else { break }
            try run.handle(answer.event(for: pending))
        }
        return (try #require(run.machine.outcome), run.log)
    }

    @Test(arguments: [three, committing])
    func aCrashBeforeAnyEventChangesNothing(definition: SagaDefinition) throws {
        for script in Self.scripts {
            let straight = try outcome(definition, script, crashes: false)
            let crashing = try outcome(definition, script, crashes: true)
            #expect(straight.0 == crashing.0)
            #expect(straight.1 == crashing.1)
        }
    }

    /// A store that keeps each entry by itself, and a crash between any two: the next owner goes on from any prefix.
    @Test(arguments: [three, committing])
    func everyPrefixOfEveryLogCanBeTakenUp(definition: SagaDefinition) throws {
        for script in Self.scripts {
            let log = try outcome(definition, script, crashes: false).1
            for length in 0...log.count {
                var run = Run(definition)
                run.log = Array(log.prefix(length))
                run = try run.replayed()
                try run.handle(.resume)
                var turns = 0
                while let pending = run.machine.pending {
                    turns += 1
                    try #require(turns < 100)
                    try run.handle(Answer.success.event(for: pending))
                }
                #expect(run.machine.outcome != nil)
                _ = try run.replayed()
            }
        }
    }

    @Test func whatWasDoneIsUndoneUnlessItSucceededOrParked() throws {
        for script in Self.scripts {
            let (outcome, log) = try outcome(three, script, crashes: false)
            var alive: Set<String> = []
            for entry in log {
                switch entry {
                case .started(let step, _): alive.insert(step)
                case .undoFinished(let step, _): alive.remove(step)
                case .succeeded, .failed, .undoStarted, .undoFailed, .cancelled, .announced, .retried, .abandoned: break
                }
            }
            switch outcome {
            case .succeeded: #expect(alive == ["a", "b", "c"])
            // c has no undo: there is nothing of it to undo.
            case .failed, .cancelled: #expect(alive.subtracting(["c"]).isEmpty)
            case .parked, .abandoned: break
            }
        }
    }

    @Test func generationsNeverRepeat() throws {
        for script in Self.scripts {
            var last = 0
            for entry in try outcome(three, script, crashes: true).1 {
                switch entry {
                case .started(_, let generation), .undoStarted(_, let generation):
                    #expect(generation > last)
                    last = generation
                case .succeeded, .failed, .undoFinished, .undoFailed, .cancelled, .announced, .retried, .abandoned:
                    break
                }
            }
        }
    }
}
