import CellProtocol
import MessageBus
import Synchronization

/// Gathers one child's events as they are delivered, so that a whole batch is applied in one transaction and every
/// delivery is acknowledged only after its event is durable.
final class EventInbox: Sendable {
    /// Deliveries in hand at once: the batch's bound.
    static let limit = 200

    struct Item {
        let event: SequencedEvent
        let answer: CheckedContinuation<Disposition, Never>
    }

    private struct State {
        var items: [Item] = []
        var waiter: CheckedContinuation<Void, Never>?
        var isClosed = false
        var isWoken = false
    }

    private let state = Mutex(State())

    /// Waits until the event is applied (or not).
    func deliver(_ event: SequencedEvent) async -> Disposition {
        await withCheckedContinuation { continuation in
            let (waiter, isClosed) = state.withLock { state in
                guard !state.isClosed else { return (CheckedContinuation<Void, Never>?.none, true) }
                state.items.append(Item(event: event, answer: continuation))
                defer { state.waiter = nil }
                return (state.waiter, false)
            }
            if isClosed { continuation.resume(returning: .retry) }
            waiter?.resume()
        }
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
        for item in items { item.answer.resume(returning: .retry) }
        waiter?.resume()
    }
}
