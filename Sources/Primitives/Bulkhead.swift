import Synchronization

/// A bound on work in flight: at most `limit` bodies run at once and at most `waiting` more queue for a place.
///
/// Whoever finds the queue full gets ``Bulkhead/Full`` at once instead of a place that comes too late.
package final class Bulkhead: Sendable {
    package struct Full: Error, CustomStringConvertible, Equatable {
        package let name: String
        package var description: String { "\(name): too much work in flight" }
    }

    private struct State {
        var running = 0
        var nextTicket = 0
        var queue: [(ticket: Int, continuation: CheckedContinuation<Void, any Error>)] = []
        var cancelled: Set<Int> = []
    }

    package let name: String
    package let limit: Int
    package let waiting: Int
    private let state = Mutex(State())

    package init(name: String, limit: Int, waiting: Int) {
        precondition(limit > 0 && waiting >= 0, "a bulkhead needs limit > 0 and waiting >= 0")
        self.name = name
        self.limit = limit
        self.waiting = waiting
    }

    /// Runs `body` once a place is free. Throws ``Full`` when the queue is full, `CancellationError` when cancelled in it.
    package func run<Result: Sendable>(_ body: () async throws -> sending Result) async throws -> sending Result {
        try await enter()
        defer { leave() }
        return try await body()
    }

    private func enter() async throws {
        let ticket: Int? = try state.withLock { state in
            if state.running < limit {
                state.running += 1
                return nil
            }
            guard state.queue.count < waiting else { throw Full(name: name) }
            state.nextTicket += 1
            return state.nextTicket
        }
        guard let ticket else { return }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let outcome: Result<Void, any Error>? = state.withLock { state in
                    if state.cancelled.remove(ticket) != nil { return .failure(CancellationError()) }
                    if state.running < limit {
                        state.running += 1
                        return .success(())
                    }
                    state.queue.append((ticket, continuation))
                    return nil
                }
                if let outcome { continuation.resume(with: outcome) }
            }
        } onCancel: {
            let continuation = state.withLock { state in
                guard let index = state.queue.firstIndex(where: { $0.ticket == ticket }) else {
                    state.cancelled.insert(ticket)
                    return CheckedContinuation<Void, any Error>?.none
                }
                return state.queue.remove(at: index).continuation
            }
            continuation?.resume(throwing: CancellationError())
        }
        state.withLock { _ = $0.cancelled.remove(ticket) }
    }

    private func leave() {
        let next = state.withLock { state in
            guard !state.queue.isEmpty else {
                state.running -= 1
                return CheckedContinuation<Void, any Error>?.none
            }
            return state.queue.removeFirst().continuation
        }
        next?.resume()
    }
}
