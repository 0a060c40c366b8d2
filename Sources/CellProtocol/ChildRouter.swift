package import CloudModel
import FoundationEssentials
package import MessageBus
package import Primitives
import Synchronization

/// Makes the child cells look like one: finds the child that holds a path and calls its supervisor.
///
/// One connection a child, opened when the mapping appears and closed when it goes; nothing is restarted for a new cell.
/// Bound: ``callLimit`` calls in flight to one child and as many waiting, so a slow child takes workers from no other.
package final class ChildRouter: CellRouter {
    /// Calls in flight to one child.
    package static let callLimit = 64

    private struct Child {
        var mapping: CellMapping
        let bus: any MessageBus
        let bulkhead: Bulkhead
    }

    private let children = Mutex<[CellPath: Child]>([:])
    private let connect: @Sendable (CellMapping) -> any MessageBus
    private let renew: @Sendable (CellMapping) -> Void
    private let sender: String
    private let ids: any IDSource
    private let wallClock: any WallClock

    /// - Parameters:
    ///   - sender: names the calling service in envelopes.
    ///   - renew: takes a child's new passwords; its connection stays.
    ///   - connect: opens a child's connection; it must return at once and connect by itself.
    package init(
        sender: String, ids: any IDSource, wallClock: any WallClock,
        renew: @escaping @Sendable (CellMapping) -> Void = { _ in },
        connect: @escaping @Sendable (CellMapping) -> any MessageBus
    ) {
        self.sender = sender
        self.ids = ids
        self.wallClock = wallClock
        self.renew = renew
        self.connect = connect
    }

    /// Takes the mappings as they are now: opens what is new, closes what is gone or moved.
    package func update(_ mappings: [CellMapping]) async {
        let stale: [any MessageBus] = children.withLock { children in
            var kept: Set<CellPath> = []
            var next: [CellPath: Child] = [:]
            for mapping in mappings {
                if var known = children[mapping.path], known.mapping.bus.isSamePlace(as: mapping.bus) {
                    if known.mapping.bus != mapping.bus { renew(mapping) }
                    known.mapping = mapping
                    next[mapping.path] = known
                    kept.insert(mapping.path)
                } else {
                    next[mapping.path] = Child(
                        mapping: mapping, bus: connect(mapping),
                        bulkhead: Bulkhead(
                            name: "calls to \(mapping.path)", limit: Self.callLimit, waiting: Self.callLimit))
                }
            }
            defer { children = next }
            return children.filter { !kept.contains($0.key) }.map(\.value.bus)
        }
        for bus in stale { await bus.close() }
    }

    /// The connection to a child, for its events.
    package func bus(of path: CellPath) -> (any MessageBus)? { children.withLock { $0[path]?.bus } }

    package func mappings() -> [CellMapping] { children.withLock { $0.values.map(\.mapping) } }

    package func cells() async -> [CellStatus] {
        mappings().sorted { $0.path < $1.path }.map {
            CellStatus(
                cell: $0.path, health: $0.health, reason: $0.reason, since: $0.since, heartbeat: $0.heartbeat,
                isLeaf: true)
        }
    }

    package func send<R: CellRequest>(
        _ request: R, to cell: CellPath, context: CellCallContext
    ) async throws(CellError) -> R.Reply {
        guard let child = children.withLock({ children in Self.child(holding: cell, in: children) }) else {
            throw .unknownCell(cell)
        }
        if child.mapping.health == .down { throw .unreachable(cell) }
        let remaining = context.deadline.timeIntervalSince(wallClock.now())
        guard remaining > 0 else { throw .timedOut(cell) }
        do {
            let envelope = Envelope(
                messageID: ids.uuid(), requestID: context.requestID, traceParent: context.traceParent,
                deadline: context.deadline, sender: sender, caller: context.caller, kind: R.kind,
                body: try JSONEncoder().encode(request))
            let answer = try await child.bulkhead.run {
                try await child.bus.call(
                    envelope, queue: CellTopology.supervisorQueue, timeout: .milliseconds(Int64(remaining * 1000)))
            }
            return try CellCall.decode(answer, as: R.self)
        } catch let error as BusError {
            throw Self.cellError(error, cell)
        } catch let error as CellFailure {
            throw .failed(cell, error.message)
        } catch is Bulkhead.Full {
            throw .overloaded(cell)
        } catch is CancellationError {
            throw .cancelled
        } catch {
            throw .malformed(cell, "\(error)")
        }
    }

    /// A cell is reached through the child whose path its own begins with.
    private static func child(holding cell: CellPath, in children: [CellPath: Child]) -> Child? {
        var path: CellPath? = cell
        while let candidate = path {
            if let child = children[candidate] { return child }
            path = candidate.parent
        }
        return nil
    }

    private static func cellError(_ error: BusError, _ cell: CellPath) -> CellError {
        switch error {
        case .unroutable: .unreachable(cell)
        // A connection that was lost may have carried the request before.
        case .timedOut, .disconnected, .closed: .timedOut(cell)
        case .tooManyInFlight: .overloaded(cell)
        case .refused(_, let detail): .failed(cell, detail)
        case .malformed(let detail): .malformed(cell, detail)
        case .cancelled: .cancelled
        }
    }
}
