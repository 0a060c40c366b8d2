import CellProtocol
import CloudModel
import FoundationEssentials
import MessageBus
import Synchronization

/// Where reports wait for the conductor's loop, which takes all that are there at once: one transaction for many.
///
/// Bound: the consumer's prefetch for reports that want an answer, one heartbeat a host for the others.
final class ReportInbox: Sendable {
    enum Report: Sendable {
        case step(StepResult)
        case lifecycle(GuestLifecycleReport)
    }

    struct Item: Sendable {
        let report: Report
        /// The sender, as the broker knows it.
        let hostKey: String
        let requestID: String
        fileprivate let continuation: CheckedContinuation<Disposition, Never>

        func settle(_ disposition: Disposition) { continuation.resume(returning: disposition) }
    }

    struct Batch: Sendable {
        var items: [Item] = []
        var isNudged = false
        var isTick = false
        var isStopping = false
        var hasMore = false
    }

    private struct State {
        var items: [Item] = []
        var heartbeats: [HostName: AgentHeartbeat] = [:]
        var holdings: [HostName: AgentHoldings] = [:]
        var isNudged = false
        var isTick = false
        var isStopping = false
        var isClosed = false
    }

    /// One element for any number of arrivals.
    let wakes: AsyncStream<Void>
    private let wake: AsyncStream<Void>.Continuation
    private let state = Mutex(State())

    init() { (wakes, wake) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1)) }

    /// Hands a report over and waits until it is dealt with.
    func deliver(_ report: Report, from hostKey: String, requestID: String) async -> Disposition {
        await withCheckedContinuation { continuation in
            let item = Item(report: report, hostKey: hostKey, requestID: requestID, continuation: continuation)
            let isTaken = state.withLock { state in
                if !state.isClosed { state.items.append(item) }
                return !state.isClosed
            }
            if isTaken { wake.yield() } else { item.settle(.retry) }
        }
    }

    /// Notes a pulse. It is looked at with the next tick, and only the newest of each host counts, except that what only
    /// a full one carries is kept.
    func note(_ heartbeat: AgentHeartbeat) {
        state.withLock { state in
            var heartbeat = heartbeat
            if let earlier = state.heartbeats[heartbeat.host], heartbeat.inventory == nil,
                heartbeat.providerID == earlier.providerID
            {
                heartbeat.inventory = earlier.inventory
                heartbeat.guests = earlier.guests
            }
            state.heartbeats[heartbeat.host] = heartbeat
        }
    }

    func takeHeartbeats() -> [AgentHeartbeat] {
        state.withLock { state in
            defer { state.heartbeats = [:] }
            return state.heartbeats.values.sorted { $0.host < $1.host }
        }
    }

    /// Notes what a host still has; only the newest word of each counts.
    func note(_ holdings: AgentHoldings) {
        state.withLock { $0.holdings[holdings.host] = holdings }
    }

    func takeHoldings() -> [AgentHoldings] {
        state.withLock { state in
            defer { state.holdings = [:] }
            return state.holdings.values.sorted { $0.host < $1.host }
        }
    }

    /// There is a saga that no one holds.
    func nudge() {
        state.withLock { $0.isNudged = true }
        wake.yield()
    }

    /// Time has passed.
    func tick() {
        state.withLock { $0.isTick = true }
        wake.yield()
    }

    /// The service is asked to end in good order.
    func stop() {
        state.withLock { $0.isStopping = true }
        wake.yield()
    }

    func take(limit: Int) -> Batch {
        state.withLock { state in
            let batch = Batch(
                items: Array(state.items.prefix(limit)), isNudged: state.isNudged, isTick: state.isTick,
                isStopping: state.isStopping, hasMore: state.items.count > limit)
            state.items.removeFirst(batch.items.count)
            state.isNudged = false
            state.isTick = false
            return batch
        }
    }

    /// Nothing is dealt with any more: what is here and what comes goes back to the broker.
    func close() {
        let items = state.withLock { state in
            state.isClosed = true
            defer { state.items = [] }
            return state.items
        }
        for item in items { item.settle(.retry) }
        wake.finish()
    }
}
