import Synchronization

/// Wakes one waiter: signals that come while nobody waits are remembered as one.
package final class Nudge: Sendable {
    private struct State {
        var isSignalled = false
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let state = Mutex(State())

    package init() {}

    package func signal() {
        let waiter = state.withLock { state in
            if state.waiter == nil { state.isSignalled = true }
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }

    /// Returns at the next signal, or at once when one came before; also when cancelled.
    package func wait() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isReady = state.withLock { state in
                    if state.isSignalled || Task.isCancelled {
                        state.isSignalled = false
                        return true
                    }
                    state.waiter = continuation
                    return false
                }
                if isReady { continuation.resume() }
            }
        } onCancel: {
            signal()
        }
    }

    /// Waits for a signal, `limit` at most. Throws when cancelled.
    package func wait(atMost limit: Duration, clock: any Clock<Duration>) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await self.wait() }
            group.addTask { try await clock.sleep(for: limit) }
            try await group.next()
            group.cancelAll()
            // The loser must be gone before the next wait: one waiter at a time.
            while let result = await group.nextResult() { _ = result }
        }
        try Task.checkCancellation()
    }
}
