import Primitives
import Synchronization

/// Hands elements from any thread to one receiving task. Whoever puts them in keeps their number bounded.
package final class Mailbox<Element: Sendable>: Sendable {
    private struct State {
        var waiting: [Element] = []
        var first = 0
        var receiver: CheckedContinuation<Element?, Never>?
        var isFinished = false
        var failure: BusError?
        /// Elements in hand.
        var running = 0
    }

    private let state = Mutex(State())

    package init() {}

    /// Why it was finished, if that was a failure.
    package var failure: BusError? { state.withLock { $0.failure } }

    package func push(_ element: Element) { put(element)?() }

    /// The same for whoever holds a lock, which the receiver may want as soon as it wakes: elements are in the order of
    /// these calls, whenever it is woken.
    /// - Returns: what wakes the receiver, if it waits.
    func put(_ element: Element) -> (@Sendable () -> Void)? {
        state.withLock { state in
            guard !state.isFinished else { return nil }
            if let receiver = state.receiver.take() { return { receiver.resume(returning: element) } }
            state.waiting.append(element)
            return nil
        }
    }

    /// Throws away what nobody has received yet.
    package func clear() {
        state.withLock { state in
            state.waiting.removeAll()
            state.first = 0
        }
    }

    /// Ends it: what waits is thrown away and ``next()`` gives `nil` from now on. Only the first call counts.
    package func finish(_ failure: BusError? = nil) {
        let receiver = state.withLock { state -> CheckedContinuation<Element?, Never>? in
            guard !state.isFinished else { return nil }
            state.isFinished = true
            state.failure = failure
            state.waiting.removeAll()
            return state.receiver.take()
        }
        receiver?.resume(returning: nil)
    }

    /// The next element, or `nil` once it is finished or the task is cancelled (which finishes it).
    package func next() async -> Element? {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let ready = state.withLock { state -> Element?? in
                    if state.isFinished { return .some(nil) }
                    if state.first < state.waiting.count {
                        let element = state.waiting[state.first]
                        state.first += 1
                        if state.first == state.waiting.count {
                            state.waiting.removeAll(keepingCapacity: state.first <= 64)
                            state.first = 0
                        }
                        return element
                    }
                    precondition(state.receiver == nil, "a mailbox has one receiver")
                    state.receiver = continuation
                    return .none
                }
                if let ready { continuation.resume(returning: ready) }
            }
        } onCancel: {
            finish()
        }
    }

    /// Receives until finished or cancelled, each element in its own child task, at most `limit` of them at once.
    /// Returns when the last of them has ended.
    package func forEach(limit: Int, _ body: @escaping @Sendable (Element) async -> Void) async {
        let ended = Nudge()
        // A group that keeps what its tasks return would keep every one that has ended, up to the limit.
        await withDiscardingTaskGroup { group in
            while let element = await next() {
                while state.withLock({ $0.running == limit }), !Task.isCancelled { await ended.wait() }
                if Task.isCancelled { break }
                state.withLock { $0.running += 1 }
                group.addTask {
                    await body(element)
                    self.state.withLock { $0.running -= 1 }
                    ended.signal()
                }
            }
        }
    }
}
