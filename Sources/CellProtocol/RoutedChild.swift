import CloudModel
import FoundationEssentials
import MessageBus
import Primitives
import Synchronization

/// A child as a ``ChildRouter`` uses it: its connection, how it is, and what keeps it from hurting others. One that moves
/// to another broker is another.
final class RoutedChild: Sendable {
    private struct State {
        var mapping: CellMapping
        var breaker = CircuitBreaker()
        /// Of cells below it that were called.
        var deepBulkheads: [CellPath: Bulkhead] = [:]

        var isReachable: Bool { mapping.health != .down && breaker.letsThrough }
    }

    let path: CellPath
    let bus: any MessageBus
    /// Rings when the child is known to be down: nobody waits for it any longer.
    let alarm = Alarm()
    private let bulkhead: Bulkhead
    private let state: Mutex<State>

    init(_ mapping: CellMapping, bus: any MessageBus) {
        path = mapping.path
        self.bus = bus
        bulkhead = Bulkhead(
            name: "calls to \(mapping.path)", limit: ChildRouter.callLimit, waiting: ChildRouter.callLimit)
        state = Mutex(State(mapping: mapping))
    }

    var mapping: CellMapping { state.withLock { $0.mapping } }
    var isReachable: Bool { state.withLock { $0.isReachable } }

    var status: CellStatus {
        state.withLock { state in
            let mapping = state.mapping
            let isCutOff = mapping.health != .down && !state.isReachable
            return CellStatus(
                cell: path, health: isCutOff ? .down : mapping.health,
                reason: isCutOff ? "it does not answer this process" : mapping.reason, since: mapping.since,
                heartbeat: mapping.heartbeat, isLeaf: mapping.heartbeat?.isLeaf ?? true)
        }
    }

    /// Calls to each cell are counted apart.
    func bulkhead(to cell: CellPath) -> Bulkhead {
        if cell == path { return bulkhead }
        return state.withLock { state in
            if let known = state.deepBulkheads[cell] { return known }
            let new = Bulkhead(
                name: "calls to \(cell)", limit: ChildRouter.deepCallLimit, waiting: ChildRouter.callLimit)
            state.deepBulkheads[cell] = new
            return new
        }
    }

    // MARK: How it is

    func isSamePlace(as mapping: CellMapping) -> Bool { state.withLock { $0.mapping.bus.isSamePlace(as: mapping.bus) } }

    /// Takes its mapping as it is now.
    /// - Returns: whether its passwords are others.
    func take(_ mapping: CellMapping) -> Bool {
        let isRenewed = state.withLock { $0.mapping.bus != mapping.bus }
        change { $0 = mapping }
        return isRenewed
    }

    func take(_ standing: CellStanding) {
        change { mapping in
            mapping.health = standing.health
            mapping.reason = standing.reason
            mapping.since = standing.since
            mapping.heartbeat = standing.heartbeat
        }
    }

    private func change(_ body: (inout CellMapping) -> Void) {
        let wentDown = state.withLock { state in
            let wasDown = state.mapping.health == .down
            body(&state.mapping)
            return state.mapping.health == .down && !wasDown
        }
        if wentDown { alarm.ring() }
    }

    // MARK: How calls went

    func answered() { state.withLock { _ = $0.breaker.succeeded() } }

    func failed(at now: Date) {
        let isCutOff = state.withLock { $0.breaker.failed(at: now) }
        if isCutOff { alarm.ring() }
    }

    /// Whether a probe should go out now; whoever is told so reports how it went.
    func takeProbe(at now: Date) -> Bool { state.withLock { $0.breaker.takeProbe(at: now) } }
}
