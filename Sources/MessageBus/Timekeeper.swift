import Primitives
import Synchronization

/// A clock that wakes any number of sleepers with one task: where there are thousands, a system's timer for each of them
/// costs more than what most do when they wake.
///
/// It stands still unless ``run()`` does.
package final class Timekeeper: Clock {
    package typealias Instant = ContinuousClock.Instant

    /// How often it looks. It wakes nobody early, so what waits for it is late by up to twice as much.
    package static let interval: Duration = .milliseconds(20)

    /// What is to be called off.
    struct Ticket: Hashable {
        fileprivate let turn: Int64
        fileprivate let number: Int
    }

    private struct State {
        /// By the turn that they are due in, and in the order in which they came.
        var turns: [Int64: [Int: @Sendable () -> Void]] = [:]
        var lastTurn: Int64 = 0
        var lastNumber = 0
    }

    private let start = ContinuousClock.now
    private let state = Mutex(State())

    package init() {}

    package var now: Instant { ContinuousClock.now }
    package var minimumResolution: Duration { Self.interval }

    /// - Throws: `CancellationError` when the task is cancelled.
    package func sleep(until deadline: Instant, tolerance: Duration?) async throws {
        let end = Mailbox<Void>()
        let ticket = at(deadline) { end.push(()) }
        defer { forget(ticket) }
        guard await end.next() != nil else { throw CancellationError() }
    }

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

    /// Calls `action` when `deadline` is over, unless that is forgotten before.
    func at(_ deadline: Instant, _ action: @escaping @Sendable () -> Void) -> Ticket {
        state.withLock { state in
            let turn = max(turn(at: deadline) + 1, state.lastTurn + 1)
            state.lastNumber += 1
            state.turns[turn, default: [:]][state.lastNumber] = action
            return Ticket(turn: turn, number: state.lastNumber)
        }
    }

    func forget(_ ticket: Ticket) {
        state.withLock { state in
            state.turns[ticket.turn]?[ticket.number] = nil
            if state.turns[ticket.turn]?.isEmpty == true { state.turns[ticket.turn] = nil }
        }
    }

    func fire(at now: Instant) {
        let due = state.withLock { state -> [@Sendable () -> Void] in
            let turn = turn(at: now)
            guard turn > state.lastTurn else { return [] }
            defer { state.lastTurn = turn }
            // After a long pause there are fewer turns with somebody in them than turns that have gone by.
            let past =
                turn - state.lastTurn > state.turns.count
                ? state.turns.keys.filter { $0 <= turn }.sorted() : Array(state.lastTurn + 1...turn)
            return past.flatMap { (state.turns.removeValue(forKey: $0) ?? [:]).sorted { $0.key < $1.key }.map(\.value) }
        }
        for action in due { action() }
    }

    private func turn(at instant: Instant) -> Int64 { Int64((instant - start) / Self.interval) }
}
