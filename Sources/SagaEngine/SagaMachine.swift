package import Primitives

/// One run of a saga, without clock, storage or messages.
///
///     ready ─started→ running ─succeeded→ ready (next step) … → ended(succeeded)
///                     running ─failed→ retrying ─started→ running
///                     running ─failed, cancelled→ unwinding ─undoStarted→ undoing ─undoFinished→ … → ended
///                     running, undoing ─failed for good→ parked ─retried→ retrying, retryingUndo
///
/// State changes only by log entries, so replaying the log after a crash gives the same machine; ``SagaEvent/resume``
/// then repeats what the last entry promised, with the same generation.
package struct SagaMachine: Sendable, Equatable {
    package struct Attempt: Sendable, Equatable {
        /// Index into the definition's steps.
        package let step: Int
        package let generation: Int
        package let tries: Int

        /// As if none of its attempts had been made yet.
        fileprivate var again: Attempt { Attempt(step: step, generation: generation, tries: 0) }
    }

    package enum Phase: Sendable, Equatable {
        /// The step is next; nothing of it is promised yet.
        case ready(step: Int)
        case running(Attempt)
        /// The last attempt failed and another may follow.
        case retrying(Attempt)
        /// This step's undo is next, then those before it.
        case unwinding(step: Int, SagaOutcome)
        case undoing(Attempt, SagaOutcome)
        case retryingUndo(Attempt, SagaOutcome)
        /// Neither done nor undone, until an operator decides.
        case parked(Stand, SagaFailure)
        case ended(SagaOutcome)
    }

    /// Where a saga stood when it was parked.
    package enum Stand: Sendable, Equatable {
        /// The last attempt of a step past the point of no return failed.
        case running(Attempt)
        /// The last attempt of an undo failed; the outcome is what the undo was for.
        case undoing(Attempt, SagaOutcome)
    }

    package let definition: SagaDefinition
    package private(set) var phase: Phase
    /// What finished steps gave back, by step.
    package private(set) var outputs: [String: JSONValue] = [:]
    package private(set) var isAnnounced = false
    private var generation = 0

    package init(_ definition: SagaDefinition) {
        self.definition = definition
        phase = .ready(step: 0)
    }

    /// The machine as it was when the last entry of `log` was written.
    package init(_ definition: SagaDefinition, replaying log: some Sequence<SagaLogEntry>) throws(SagaLogCorruption) {
        self.init(definition)
        for (index, entry) in log.enumerated() where !apply(entry) {
            throw SagaLogCorruption(definition: definition.name, index: index, entry: entry)
        }
    }

    /// Takes an event and says what follows. A refused event changes nothing.
    package mutating func handle(_ event: SagaEvent) throws(SagaRefusal) -> [SagaAction] {
        var next = self
        var actions: [SagaAction] = []
        if let entry = try next.entry(for: event) {
            next.record(entry, &actions)
            if entry == .announced, let failure = next.announcement { actions.append(.announce(failure)) }
        }
        while let entry = next.promise { next.record(entry, &actions) }
        if event == .resume || next.current != current, let command = next.command { actions.append(command) }
        self = next
        return actions
    }

    /// The attempt that is being waited for.
    package var pending: (attempt: SagaAttempt, isUndo: Bool)? {
        switch phase {
        case .running(let attempt): (named(attempt), false)
        case .undoing(let attempt, _): (named(attempt), true)
        case .ready, .retrying, .unwinding, .retryingUndo, .parked, .ended: nil
        }
    }

    package var outcome: SagaOutcome? {
        switch phase {
        case .ended(let outcome): outcome
        case .parked(_, let failure): .parked(failure)
        case .ready, .running, .retrying, .unwinding, .undoing, .retryingUndo: nil
        }
    }

    /// Whether a step past the point of no return has been started.
    package var isCommitted: Bool {
        switch phase {
        case .ready(let step): hasPointOfNoReturn(before: step)
        case .running(let attempt), .retrying(let attempt): hasPointOfNoReturn(before: attempt.step + 1)
        case .unwinding, .undoing, .retryingUndo, .parked, .ended: false
        }
    }

    // MARK: What an event becomes

    private func entry(for event: SagaEvent) throws(SagaRefusal) -> SagaLogEntry? {
        switch event {
        case .resume: return nil
        case .succeeded(let step, let generation, let output):
            try expect(step, generation, isUndo: false)
            return .succeeded(step: step, generation: generation, output: output)
        case .failed(let step, let generation, let failure):
            try expect(step, generation, isUndo: false)
            return .failed(step: step, generation: generation, failure: failure)
        case .timedOut(let step, let generation):
            try expect(step, generation, isUndo: false)
            return .failed(step: step, generation: generation, failure: .timedOut(step: step))
        case .undoFinished(let step, let generation):
            try expect(step, generation, isUndo: true)
            return .undoFinished(step: step, generation: generation)
        case .undoFailed(let step, let generation, let failure):
            try expect(step, generation, isUndo: true)
            return .undoFailed(step: step, generation: generation, failure: failure)
        case .undoOverdue(let step, let generation):
            try expect(step, generation, isUndo: true)
            return announcement == nil || isAnnounced ? nil : .announced
        case .cancel:
            if outcome != nil { throw .ended }
            if isCommitted { throw .pastPointOfNoReturn }
            return isCancelled ? nil : .cancelled
        case .retry:
            if case .parked = phase { return .retried }
            throw outcome == nil ? .notParked : .ended
        case .abandon(let reason):
            if case .ended = phase { throw .ended }
            return .abandoned(reason: reason)
        }
    }

    private func expect(_ step: String, _ generation: Int, isUndo: Bool) throws(SagaRefusal) {
        if outcome != nil { throw .ended }
        guard let pending, pending.isUndo == isUndo, pending.attempt.step == step,
            pending.attempt.generation == generation
        else { throw .stale }
    }

    /// The failure to tell while its undo goes on.
    private var announcement: SagaFailure? {
        if case .undoing(_, .failed(let failure)) = phase { failure } else { nil }
    }

    private var isCancelled: Bool {
        switch phase {
        case .unwinding(_, .cancelled), .undoing(_, .cancelled), .retryingUndo(_, .cancelled): true
        case .ready, .running, .retrying, .unwinding, .undoing, .retryingUndo, .parked, .ended: false
        }
    }

    /// What must be promised next, before it is done.
    private var promise: SagaLogEntry? {
        switch phase {
        case .ready(let step): .started(step: definition.steps[step].name, generation: generation + 1)
        case .retrying(let attempt):
            .started(step: definition.steps[attempt.step].name, generation: generation + 1)
        case .unwinding(let step, _): .undoStarted(step: definition.steps[step].name, generation: generation + 1)
        case .retryingUndo(let attempt, _):
            .undoStarted(step: definition.steps[attempt.step].name, generation: generation + 1)
        case .running, .undoing, .parked, .ended: nil
        }
    }

    private var command: SagaAction? {
        switch phase {
        case .running(let attempt): .run(named(attempt))
        case .undoing(let attempt, _): .undo(named(attempt))
        case .ended(let outcome): .finish(outcome)
        case .parked(_, let failure): .finish(.parked(failure))
        case .ready, .retrying, .unwinding, .retryingUndo: nil
        }
    }

    /// What makes a command new: a cancel that meets a running undo changes its outcome and not the attempt.
    private var current: Int {
        switch phase {
        case .ended: .max
        case .parked: .max - 1
        case .ready, .running, .retrying, .unwinding, .undoing, .retryingUndo: pending?.attempt.generation ?? 0
        }
    }

    // MARK: What an entry does

    private mutating func record(_ entry: SagaLogEntry, _ actions: inout [SagaAction]) {
        let isApplied = apply(entry)
        precondition(isApplied, "an entry made by the machine fits its state")
        actions.append(.log(entry))
    }

    /// False, and nothing changed, when the entry can't follow.
    private mutating func apply(_ entry: SagaLogEntry) -> Bool {
        switch entry {
        case .started(let step, let generation): return start(step, generation)
        case .undoStarted(let step, let generation): return startUndo(step, generation)
        case .cancelled: return cancel()
        case .succeeded(let step, let generation, let output):
            guard let attempt = running(step, generation) else { return false }
            outputs[step] = output
            let next = attempt.step + 1
            phase = next < definition.steps.count ? .ready(step: next) : .ended(.succeeded)
        case .failed(let step, let generation, let failure):
            guard let attempt = running(step, generation) else { return false }
            phase = after(attempt, failure)
        case .undoFinished(let step, let generation):
            guard case .undoing(let attempt, let outcome) = phase, isSame(attempt, step, generation) else {
                return false
            }
            phase = unwound(from: attempt.step - 1, outcome)
        case .undoFailed(let step, let generation, let failure):
            guard case .undoing(let attempt, let outcome) = phase, isSame(attempt, step, generation),
                let undo = definition.steps[attempt.step].undo
            else { return false }
            phase =
                undo.retry.allows(after: attempt.tries, failure)
                ? .retryingUndo(attempt, outcome) : .parked(.undoing(attempt, outcome), failure)
        case .announced:
            guard announcement != nil, !isAnnounced else { return false }
            isAnnounced = true
        case .retried: return takeUp()
        case .abandoned:
            if case .ended = phase { return false }
            phase = .ended(.abandoned)
        }
        return true
    }

    /// Goes on where it was parked. That it failed was told when it parked.
    private mutating func takeUp() -> Bool {
        guard case .parked(let stand, _) = phase else { return false }
        switch stand {
        case .running(let last): phase = .retrying(last.again)
        case .undoing(let last, let outcome):
            phase = .retryingUndo(last.again, outcome)
            if case .failed = outcome { isAnnounced = true }
        }
        return true
    }

    private mutating func start(_ name: String, _ generation: Int) -> Bool {
        guard generation > self.generation else { return false }
        switch phase {
        case .ready(let step) where definition.steps[step].name == name:
            phase = .running(Attempt(step: step, generation: generation, tries: 1))
        case .retrying(let last) where definition.steps[last.step].name == name:
            phase = .running(Attempt(step: last.step, generation: generation, tries: last.tries + 1))
        case .ready, .retrying, .running, .unwinding, .undoing, .retryingUndo, .parked, .ended: return false
        }
        self.generation = generation
        return true
    }

    private mutating func startUndo(_ name: String, _ generation: Int) -> Bool {
        guard generation > self.generation else { return false }
        switch phase {
        case .unwinding(let step, let outcome) where definition.steps[step].name == name:
            phase = .undoing(Attempt(step: step, generation: generation, tries: 1), outcome)
        case .retryingUndo(let last, let outcome) where definition.steps[last.step].name == name:
            phase = .undoing(Attempt(step: last.step, generation: generation, tries: last.tries + 1), outcome)
        case .ready, .retrying, .running, .unwinding, .undoing, .retryingUndo, .parked, .ended: return false
        }
        self.generation = generation
        return true
    }

    private mutating func cancel() -> Bool {
        guard !isCommitted else { return false }
        switch phase {
        case .ready(let step): phase = unwound(from: step - 1, .cancelled)
        case .running(let attempt), .retrying(let attempt): phase = unwound(from: attempt.step, .cancelled)
        case .unwinding(let step, _): phase = .unwinding(step: step, .cancelled)
        case .undoing(let attempt, _): phase = .undoing(attempt, .cancelled)
        case .retryingUndo(let attempt, _): phase = .retryingUndo(attempt, .cancelled)
        case .parked, .ended: return false
        }
        return true
    }

    private func after(_ attempt: Attempt, _ failure: SagaFailure) -> Phase {
        if definition.steps[attempt.step].retry.allows(after: attempt.tries, failure) { return .retrying(attempt) }
        if hasPointOfNoReturn(before: attempt.step + 1) { return .parked(.running(attempt), failure) }
        return unwound(from: attempt.step, .failed(failure))
    }

    /// The next undo at or before `step`, or the end. A step that failed is undone too: it may have happened in part.
    private func unwound(from step: Int, _ outcome: SagaOutcome) -> Phase {
        guard let next = definition.steps.prefix(step + 1).lastIndex(where: { $0.undo != nil }) else {
            return .ended(outcome)
        }
        return .unwinding(step: next, outcome)
    }

    private func running(_ step: String, _ generation: Int) -> Attempt? {
        guard case .running(let attempt) = phase, isSame(attempt, step, generation) else { return nil }
        return attempt
    }

    private func isSame(_ attempt: Attempt, _ step: String, _ generation: Int) -> Bool {
        attempt.generation == generation && definition.steps[attempt.step].name == step
    }

    private func hasPointOfNoReturn(before step: Int) -> Bool {
        definition.steps.prefix(step).contains { $0.isPointOfNoReturn }
    }

    private func named(_ attempt: Attempt) -> SagaAttempt {
        SagaAttempt(
            step: definition.steps[attempt.step].name, generation: attempt.generation, tries: attempt.tries)
    }
}
