import HypervisorDriver
import Synchronization

/// One caller waiting for one job: whoever settles it first, the job or the caller's cancellation, decides the outcome.
final class Ticket<Value: Sendable>: Sendable {
    typealias Outcome = Result<Value, HypervisorError>

    private enum State {
        case new
        case waiting(CheckedContinuation<Outcome, Never>)
        case settled(Outcome)
        case answered
    }

    private let state = Mutex(State.new)

    /// Whether somebody still wants the outcome.
    var isWanted: Bool {
        state.withLock {
            switch $0 {
            case .new, .waiting: true
            case .settled, .answered: false
            }
        }
    }

    func wait(with continuation: CheckedContinuation<Outcome, Never>) {
        let early = state.withLock { state -> Outcome? in
            switch state {
            case .new:
                state = .waiting(continuation)
                return nil
            case .settled(let outcome):
                state = .answered
                return outcome
            case .waiting, .answered: preconditionFailure("a ticket has one holder")
            }
        }
        if let early { continuation.resume(returning: early) }
    }

    func settle(_ outcome: Outcome) {
        let waiting = state.withLock { state -> CheckedContinuation<Outcome, Never>? in
            switch state {
            case .new:
                state = .settled(outcome)
                return nil
            case .waiting(let continuation):
                state = .answered
                return continuation
            case .settled, .answered: return nil
            }
        }
        waiting?.resume(returning: outcome)
    }
}
