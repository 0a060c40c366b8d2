import Synchronization

/// A bound on work in flight: at most `limit` bodies run at once and at most `waiting` more queue for a place.
///
/// Whoever finds the queue full gets ``Bulkhead/Full`` at once instead of a place that comes too late.
package final class Bulkhead: Sendable {
    package struct Full: Error, CustomStringConvertible, Equatable {
        package let name: String
        package var description: String { "\(name): too much work in flight" }
    }

    private typealias Outcome = Result<Void, any Error>

    private struct State {
        var places: BulkheadPlaces
        var waiters: [Int: CheckedContinuation<Void, any Error>] = [:]
        /// What became of tickets before they began to wait.
        var early: [Int: Outcome] = [:]
    }

    package let name: String
    package let limit: Int
    package let waiting: Int
    private let state: Mutex<State>

    package init(name: String, limit: Int, waiting: Int) {
        precondition(limit > 0 && waiting >= 0, "a bulkhead needs limit > 0 and waiting >= 0")
        self.name = name
        self.limit = limit
        self.waiting = waiting
        state = Mutex(State(places: BulkheadPlaces(limit: limit, waiting: waiting)))
    }

    /// Runs `body` once a place is free. Throws ``Full`` when the queue is full, `CancellationError` when cancelled in it.
    package func run<Result: Sendable>(_ body: () async throws -> sending Result) async throws -> sending Result {
        try await enter()
        defer { leave() }
        return try await body()
    }

    private func enter() async throws {
        switch state.withLock({ $0.places.arrive() }) {
        case .runs: return
        case .isTurnedAway: throw Full(name: name)
        case .waits(let ticket): try await wait(ticket)
        }
    }

    private func wait(_ ticket: Int) async throws {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let early = state.withLock { state -> Outcome? in
                    if let early = state.early.removeValue(forKey: ticket) { return early }
                    state.waiters[ticket] = continuation
                    return nil
                }
                if let early { continuation.resume(with: early) }
            }
        } onCancel: {
            let hasGivenUp = state.withLock { $0.places.giveUp(ticket) }
            if hasGivenUp { settle(ticket, .failure(CancellationError())) }
        }
    }

    /// Called once for each ticket: by whoever takes it out of the queue.
    private func settle(_ ticket: Int, _ outcome: Outcome) {
        let waiter = state.withLock { state in
            let waiter = state.waiters.removeValue(forKey: ticket)
            if waiter == nil { state.early[ticket] = outcome }
            return waiter
        }
        waiter?.resume(with: outcome)
    }

    private func leave() {
        if let next = state.withLock({ $0.places.leave() }) { settle(next, .success(())) }
    }
}
