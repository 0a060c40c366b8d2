package import CloudModel
import Synchronization

/// Runs work for one server in the order it came, and work for different servers side by side.
package final class InstanceQueues: Sendable {
    private struct State {
        var busy: Set<ServerID> = []
        var waiting: [ServerID: [CheckedContinuation<Void, Never>]] = [:]
    }

    private let state = Mutex(State())

    package init() {}

    package func run<Result: Sendable>(_ id: ServerID, _ body: () async -> Result) async -> Result {
        await enter(id)
        defer { leave(id) }
        return await body()
    }

    private func enter(_ id: ServerID) async {
        await withCheckedContinuation { continuation in
            let isFree = state.withLock { state in
                if state.busy.insert(id).inserted { return true }
                state.waiting[id, default: []].append(continuation)
                return false
            }
            if isFree { continuation.resume() }
        }
    }

    private func leave(_ id: ServerID) {
        let next: CheckedContinuation<Void, Never>? = state.withLock { state in
            guard var queue = state.waiting[id], !queue.isEmpty else {
                state.busy.remove(id)
                state.waiting[id] = nil
                return nil
            }
            let first = queue.removeFirst()
            state.waiting[id] = queue
            return first
        }
        next?.resume()
    }
}
