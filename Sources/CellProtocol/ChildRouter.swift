package import CloudModel
import FoundationEssentials
package import MessageBus
package import Primitives
import Synchronization

/// Makes the child cells look like one: finds the child that holds a path and calls its supervisor.
///
/// It knows its children only. What is for a cell below one of them goes to that child, and carries the cell's path.
///
/// One connection a child, opened when the mapping appears and closed when it goes; nothing is restarted for a new cell.
/// What keeps a child that is ill from hurting others: ``callLimit`` calls in flight to it and as many waiting; a health
/// that is known before a call; calls in flight that end when the health turns to down; a ``CircuitBreaker`` for what
/// only this process can't reach, closed again by ``probe()``.
package final class ChildRouter: CellRouter {
    /// Calls in flight to one child.
    package static let callLimit = 64
    /// Calls in flight to one cell below a child, so that one that hangs leaves the way through the child to the others.
    package static let deepCallLimit = 16
    /// How long a probe waits for its answer.
    package static let probeTimeout: Duration = .seconds(1)
    /// How long a call without a deadline is waited for (seconds).
    static let patience: TimeInterval = 10
    /// The longest that a call is waited for, whatever its deadline says (seconds).
    static let longestWait: TimeInterval = 3600

    private let children = Mutex<[CellPath: RoutedChild]>([:])
    private let connect: @Sendable (CellMapping) -> any MessageBus
    private let renew: @Sendable (CellMapping) -> Void
    private let sender: String
    private let ids: any IDSource
    private let wallClock: any WallClock
    private let below: @Sendable () async -> [CellStatus]

    /// - Parameters:
    ///   - sender: names the calling service in envelopes.
    ///   - renew: takes a child's new passwords; its connection stays.
    ///   - below: the cells below the children, by what these have told.
    ///   - connect: opens a child's connection; it must return at once and connect by itself.
    package init(
        sender: String, ids: any IDSource, wallClock: any WallClock,
        renew: @escaping @Sendable (CellMapping) -> Void = { _ in },
        below: @escaping @Sendable () async -> [CellStatus] = { [] },
        connect: @escaping @Sendable (CellMapping) -> any MessageBus
    ) {
        self.sender = sender
        self.ids = ids
        self.wallClock = wallClock
        self.renew = renew
        self.below = below
        self.connect = connect
    }

    /// Takes the mappings as they are now: opens what is new, closes what is gone or moved, and ends the waiting for
    /// children that went down.
    package func update(_ mappings: [CellMapping]) async {
        let (stale, kept) = children.withLock { children in
            var kept: [(child: RoutedChild, mapping: CellMapping)] = []
            var next: [CellPath: RoutedChild] = [:]
            for mapping in mappings {
                if let known = children[mapping.path], known.isSamePlace(as: mapping) {
                    kept.append((known, mapping))
                    next[mapping.path] = known
                } else {
                    next[mapping.path] = RoutedChild(mapping, bus: connect(mapping))
                }
            }
            defer { children = next }
            return (children.values.filter { next[$0.path] !== $0 }, kept)
        }
        for (child, mapping) in kept where child.take(mapping) { renew(mapping) }
        for child in stale { await child.bus.close() }
    }

    /// What this process's own parent loop has just found out about a child, before the mappings say so.
    package func note(_ standing: CellStanding) { children.withLock { $0[standing.path] }?.take(standing) }

    /// The connection to a child, for its events.
    package func bus(of path: CellPath) -> (any MessageBus)? { children.withLock { $0[path]?.bus } }

    package func mappings() -> [CellMapping] { children.withLock { Array($0.values) }.map(\.mapping) }

    package func cells() async -> [CellStatus] {
        let own = children.withLock { Array($0.values) }.map(\.status)
        let down = own.filter { $0.health == .down }.map(\.cell)
        let deep = await below().map { status in
            guard status.health != .down, let cut = down.first(where: { $0.holds(status.cell) }) else { return status }
            var status = status
            status.health = .down
            status.reason = "cell \(cut), through which it is reached, is down"
            return status
        }
        return (own + deep).sorted { $0.cell < $1.cell }
    }

    package func send<R: CellRequest>(
        _ request: R, to cell: CellPath, context: CellCallContext
    ) async throws(CellError) -> R.Reply {
        do {
            let envelope = Envelope(
                messageID: ids.uuid(), idempotencyKey: context.idempotencyKey, requestID: context.requestID,
                traceParent: context.traceParent, deadline: context.deadline, sender: sender, caller: context.caller,
                kind: R.kind, body: try request.body())
            return try CellCall.decode(try await forward(envelope, to: cell), as: R.self)
        } catch let error as CellError {
            throw error
        } catch let error as CellFailure {
            throw CellError(error, of: cell)
        } catch {
            throw .malformed(cell, "\(error)")
        }
    }

    /// Passes a request on as it is, and its answer back, which may be a ``CellFailure``.
    package func relay(_ envelope: Envelope, to cell: CellPath) async throws(CellError) -> Envelope {
        var envelope = envelope
        envelope.messageID = ids.uuid()
        envelope.sender = sender
        return try await forward(envelope, to: cell)
    }

    private func forward(_ envelope: Envelope, to cell: CellPath) async throws(CellError) -> Envelope {
        guard let child = child(toward: cell) else { throw .unknownCell(cell) }
        // Of the alarm first: a ring between this look and the wait is not missed.
        let ring = child.alarm.next
        guard child.isReachable else { throw .unreachable(cell) }
        let remaining = envelope.deadline?.timeIntervalSince(wallClock.now()) ?? Self.patience
        guard remaining > 0 else { throw .timedOut(cell) }
        var envelope = envelope
        envelope.cell = cell == child.path ? nil : cell.description
        let timeout = Duration.milliseconds(Int64(min(remaining, Self.longestWait) * 1000))
        do {
            return try await child.bulkhead(to: cell).run { [envelope] in
                try await self.call(envelope, child, timeout: timeout, unless: ring)
            }
        } catch let error as BusError {
            throw Self.cellError(error, cell)
        } catch is Bulkhead.Full {
            throw .overloaded(cell)
        } catch {
            throw .cancelled
        }
    }

    /// Tries every child that is cut off and due for it. Call it every few hundred milliseconds.
    package func probe() async {
        let now = wallClock.now()
        let due = children.withLock { Array($0.values) }.filter { $0.takeProbe(at: now) }
        await withTaskGroup(of: Void.self) { group in
            for child in due { group.addTask { await self.probe(child) } }
        }
    }

    private func probe(_ child: RoutedChild) async {
        do {
            let envelope = Envelope(
                messageID: ids.uuid(), requestID: "-",
                deadline: wallClock.now().addingTimeInterval(Self.probeTimeout / .seconds(1)), sender: sender,
                kind: PingRequest.kind, body: try JSONEncoder().encode(PingRequest()))
            // Any answer will do.
            _ = try await child.bus.call(
                envelope, queue: CellTopology.supervisorQueue, timeout: Self.probeTimeout)
            child.answered()
        } catch {
            child.failed(at: wallClock.now())
        }
    }

    private func call(
        _ envelope: Envelope, _ child: RoutedChild, timeout: Duration, unless ring: NextRing
    ) async throws(BusError) -> Envelope {
        do throws(BusError) {
            let answer = try await child.bus.call(
                envelope, queue: CellTopology.supervisorQueue, timeout: timeout, unless: ring)
            child.answered()
            return answer
        } catch {
            switch error {
            case .timedOut, .disconnected, .unroutable, .closed: child.failed(at: wallClock.now())
            case .refused, .malformed, .tooManyInFlight, .cancelled: break
            }
            throw error
        }
    }

    /// A cell is reached through the child whose path its own begins with.
    private func child(toward cell: CellPath) -> RoutedChild? {
        children.withLock { children in
            var path: CellPath? = cell
            while let candidate = path {
                if let child = children[candidate] { return child }
                path = candidate.parent
            }
            return nil
        }
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
