import Synchronization

/// Asks a run to stop at the next safe point: what has begun is ended, nothing new begins.
package final class StopRequest: Sendable {
    private let requested = Atomic<Bool>(false)

    package init() {}

    package func request() { requested.store(true, ordering: .releasing) }

    package var isRequested: Bool { requested.load(ordering: .acquiring) }
}
