import CellProtocol
import MessageBus
import Synchronization

/// Gathers one child's events as they are delivered, so that a whole batch is applied in one transaction and every
/// delivery is acknowledged only after its event is durable.
///
/// What is more than it can hold is let go: the child has it, and is asked for it. Held back, it would keep the heartbeats
/// behind it from being heard, the child would be thought dead, and a dead child is not asked for what is missing.
final class EventInbox: Sendable {
    /// Events in hand at once: the batch's bound.
    static let limit = 200
    /// Deliveries in hand at once: events, and heartbeats beside them.
    static let prefetch = limit + 50

    struct Item {
        let event: SequencedEvent
        fileprivate let answer: CheckedContinuation<Disposition, Never>
    }

    private struct State {
        var items: [Item] = []
        /// Those that were taken and are not answered yet, too.
        var held = 0
        var waiter: CheckedContinuation<Void, Never>?
        var isClosed = false
        var isWoken = false
    }

    private let state = Mutex(State())

    /// Waits until the event is applied (or not); returns at once when there is no room for it.
    func deliver(_ event: SequencedEvent) async -> Disposition {
        await withCheckedContinuation { continuation in
            let (waiter, answer) = state.withLock { state -> (CheckedContinuation<Void, Never>?, Disposition?) in
                guard !state.isClosed else { return (nil, .retry) }
                guard state.held < Self.limit else { return (nil, .acknowledge) }
                state.held += 1
                state.items.append(Item(event: event, answer: continuation))
                defer { state.waiter = nil }
                return (state.waiter, nil)
            }
            if let answer { continuation.resume(returning: answer) }
            waiter?.resume()
        }
    }

    /// Says what became of events that were taken; each once.
    func answer(_ items: [Item], _ disposition: (SequencedEvent) -> Disposition) {
        state.withLock { $0.held -= items.count }
        for item in items { item.answer.resume(returning: disposition(item.event)) }
    }

    /// What has come so far, in order of sequence; waits for the first. Empty when woken or closed.
    func take() async -> [Item] {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isReady = state.withLock { state in
                    if state.isClosed || state.isWoken || !state.items.isEmpty {
                        state.isWoken = false
                        return true
                    }
                    state.waiter = continuation
                    return false
                }
                if isReady { continuation.resume() }
            }
        } onCancel: {
            close()
        }
        return state.withLock { state in
            defer { state.items = [] }
            return state.items.sorted { $0.event.sequence < $1.event.sequence }
        }
    }

    /// Lets whoever takes look up from waiting, with what there is.
    func wake() {
        let waiter = state.withLock { state in
            defer { state.waiter = nil }
            if state.waiter == nil { state.isWoken = true }
            return state.waiter
        }
        waiter?.resume()
    }

    /// Hands everything back to the broker.
    func close() {
        let (items, waiter) = state.withLock { state in
            defer {
                state.items = []
                state.waiter = nil
                state.isClosed = true
            }
            return (state.items, state.waiter)
        }
        answer(items) { _ in .retry }
        waiter?.resume()
    }
}
