import Synchronization

/// Wakes everybody who waits at that moment. Who begins to wait names the rings heard before, so that none is missed.
package final class Alarm: Sendable {
    private struct State {
        var rings = 0
        var nextTicket = 0
        var waiters: [Int: @Sendable () -> Void] = [:]
        var cancelled: Set<Int> = []
    }

    private let state = Mutex(State())

    package init() {}

    /// How often it has rung.
    package var rings: Int { state.withLock { $0.rings } }

    /// The first ring from now on.
    package var next: NextRing { NextRing(alarm: self, after: rings) }

    package func ring() {
        let waiters = state.withLock { state in
            state.rings += 1
            defer { state.waiters = [:] }
            return Array(state.waiters.values)
        }
        for waiter in waiters { waiter() }
    }

    /// Calls `action` once it has rung more than `rings` times, unless that is forgotten before: at once, or from the task
    /// that rings.
    /// - Returns: what to ``forget(_:)``; nil when `action` was called.
    fileprivate func onRing(after rings: Int, _ action: @escaping @Sendable () -> Void) -> Int? {
        let ticket = state.withLock { state -> Int? in
            guard state.rings <= rings else { return nil }
            state.nextTicket += 1
            state.waiters[state.nextTicket] = action
            return state.nextTicket
        }
        if ticket == nil { action() }
        return ticket
    }

    /// Nobody waits for this any more.
    fileprivate func forget(_ ticket: Int) { state.withLock { $0.waiters[ticket] = nil } }

    /// Returns once it has rung more than `rings` times; also when cancelled.
    package func wait(after rings: Int) async {
        let ticket = state.withLock { state in
            state.nextTicket += 1
            return state.nextTicket
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state in
                    if state.cancelled.remove(ticket) != nil || state.rings > rings { return true }
                    state.waiters[ticket] = { continuation.resume() }
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            let waiter = state.withLock { state in
                let waiter = state.waiters.removeValue(forKey: ticket)
                if waiter == nil { state.cancelled.insert(ticket) }
                return waiter
            }
            waiter?()
        }
        state.withLock { _ = $0.cancelled.remove(ticket) }
    }
}

/// A ring of an alarm that may still come: the first after some moment.
package struct NextRing: Sendable {
    private let alarm: Alarm
    private let rings: Int

    fileprivate init(alarm: Alarm, after rings: Int) {
        self.alarm = alarm
        self.rings = rings
    }

    package var hasCome: Bool { alarm.rings > rings }

    /// Calls `action` when it comes, unless that is forgotten before: at once, or from the task that rings.
    /// - Returns: what to ``forget(_:)``; nil when `action` was called.
    package func call(_ action: @escaping @Sendable () -> Void) -> Int? { alarm.onRing(after: rings, action) }

    /// Nobody waits for this any more.
    package func forget(_ ticket: Int?) { if let ticket { alarm.forget(ticket) } }

    /// Returns once it has come; also when cancelled.
    package func wait() async { await alarm.wait(after: rings) }
}
