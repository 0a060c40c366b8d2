import Primitives
import Synchronization

/// Ends what takes too long for any number of waiters with one task: where there are hundreds at once, a task that sleeps
/// for each of them costs more than what they wait for.
package final class Timekeeper: Sendable {
    /// How often it looks: what it ends is late by as much.
    package static let interval: Duration = .milliseconds(100)

    private struct Entry {
        let deadline: ContinuousClock.Instant
        let action: @Sendable () -> Void
    }

    private struct State {
        var entries: [Int: Entry] = [:]
        var lastTicket = 0
    }

    private let state = Mutex(State())

    package init() {}

    /// Until cancelled.
    package func run() async {
        let clock = ContinuousClock()
        while !Task.isCancelled {
            do {
                try await clock.sleep(for: Self.interval)
            } catch {
                return
            }
            fire(at: clock.now)
        }
    }

    /// Calls `action` once `duration` is over, unless that is forgotten before.
    func after(_ duration: Duration, _ action: @escaping @Sendable () -> Void) -> Int {
        let deadline = ContinuousClock.now.advanced(by: duration)
        return state.withLock { state in
            state.lastTicket += 1
            state.entries[state.lastTicket] = Entry(deadline: deadline, action: action)
            return state.lastTicket
        }
    }

    func forget(_ ticket: Int) { state.withLock { $0.entries[ticket] = nil } }

    func fire(at now: ContinuousClock.Instant) {
        let due = state.withLock { state in
            let due = state.entries.filter { $0.value.deadline <= now }.sorted { $0.key < $1.key }
            for (ticket, _) in due { state.entries[ticket] = nil }
            return due
        }
        for (_, entry) in due { entry.action() }
    }
}
