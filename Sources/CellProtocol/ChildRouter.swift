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

    private struct Child {
        var mapping: CellMapping
        var breaker = CircuitBreaker()
        let bus: any MessageBus
        let bulkhead: Bulkhead
        /// Rings when the child is known to be down: nobody waits for it any longer.
        let alarm = Alarm()
        /// Of cells below it that were called.
        var deepBulkheads: [CellPath: Bulkhead] = [:]

        var isReachable: Bool { mapping.health != .down && breaker.letsThrough }

        var status: CellStatus {
            let isCutOff = mapping.health != .down && !breaker.letsThrough
            return CellStatus(
                cell: mapping.path, health: isCutOff ? .down : mapping.health,
                reason: isCutOff ? "it does not answer this process" : mapping.reason, since: mapping.since,
                heartbeat: mapping.heartbeat, isLeaf: mapping.heartbeat?.isLeaf ?? true)
        }
    }

    private let children = Mutex<[CellPath: Child]>([:])
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
        let (stale, alarms): ([any MessageBus], [Alarm]) = children.withLock { children in
            var kept: Set<CellPath> = []
            var alarms: [Alarm] = []
            var next: [CellPath: Child] = [:]
            for mapping in mappings {
                if var known = children[mapping.path], known.mapping.bus.isSamePlace(as: mapping.bus) {
                    if known.mapping.bus != mapping.bus { renew(mapping) }
                    if mapping.health == .down, known.mapping.health != .down { alarms.append(known.alarm) }
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
            return (children.filter { !kept.contains($0.key) }.map(\.value.bus), alarms)
        }
        for alarm in alarms { alarm.ring() }
        for bus in stale { await bus.close() }
    }

    /// What this process's own parent loop has just found out about a child, before the mappings say so.
    package func note(_ health: CellStatus.Health, of path: CellPath) {
        let alarm: Alarm? = children.withLock { children in
            guard let known = children[path], known.mapping.health != health else { return nil }
            children[path]?.mapping.health = health
            return health == .down ? known.alarm : nil
        }
        alarm?.ring()
    }

    /// The connection to a child, for its events.
    package func bus(of path: CellPath) -> (any MessageBus)? { children.withLock { $0[path]?.bus } }

    package func mappings() -> [CellMapping] { children.withLock { $0.values.map(\.mapping) } }

    package func cells() async -> [CellStatus] {
        let own = children.withLock { $0.values.map(\.status) }
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
            return try CellCall.decode(try await relay(envelope, to: cell), as: R.self)
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
        guard let (child, bulkhead) = children.withLock({ Self.way(to: cell, in: &$0) }) else {
            throw .unknownCell(cell)
        }
        // Counted first: a ring between this look and the wait is not missed.
        let rings = child.alarm.rings
        guard children.withLock({ $0[child.mapping.path]?.isReachable }) == true else { throw .unreachable(cell) }
        let remaining = envelope.deadline?.timeIntervalSince(wallClock.now()) ?? Self.patience
        guard remaining > 0 else { throw .timedOut(cell) }
        var envelope = envelope
        envelope.messageID = ids.uuid()
        envelope.sender = sender
        envelope.cell = cell == child.mapping.path ? nil : cell.description
        let timeout = Duration.milliseconds(Int64(min(remaining, Self.longestWait) * 1000))
        do {
            return try await bulkhead.run { [envelope] in
                try await self.call(envelope, child, timeout: timeout, unlessRungAfter: rings)
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
        let due = children.withLock { children in
            children.keys.filter { children[$0]?.breaker.takeProbe(at: now) == true }.compactMap { children[$0] }
        }
        await withTaskGroup(of: Void.self) { group in
            for child in due { group.addTask { await self.probe(child) } }
        }
    }

    private func probe(_ child: Child) async {
        do {
            let envelope = Envelope(
                messageID: ids.uuid(), requestID: "-",
                deadline: wallClock.now().addingTimeInterval(Self.probeTimeout / .seconds(1)), sender: sender,
                kind: PingRequest.kind, body: try JSONEncoder().encode(PingRequest()))
            // Any answer will do.
            _ = try await child.bus.call(
                envelope, queue: CellTopology.supervisorQueue, timeout: Self.probeTimeout)
            record(isAnswer: true, child)
        } catch {
            record(isAnswer: false, child)
        }
    }

    private func call(
        _ envelope: Envelope, _ child: Child, timeout: Duration, unlessRungAfter rings: Int
    ) async throws -> Envelope {
        do {
            let answer = try await withThrowingTaskGroup(of: Envelope?.self) { group in
                group.addTask {
                    try await child.bus.call(envelope, queue: CellTopology.supervisorQueue, timeout: timeout)
                }
                group.addTask {
                    await child.alarm.wait(after: rings)
                    return nil
                }
                defer { group.cancelAll() }
                guard let first = try await group.next(), let answer = first else {
                    try Task.checkCancellation()
                    throw BusError.timedOut("the cell went down")
                }
                return answer
            }
            record(isAnswer: true, child)
            return answer
        } catch let error as BusError {
            switch error {
            case .timedOut, .disconnected, .unroutable, .closed: record(isAnswer: false, child)
            case .refused, .malformed, .tooManyInFlight, .cancelled: break
            }
            throw error
        }
    }

    private func record(isAnswer: Bool, _ child: Child) {
        let now = wallClock.now()
        let opened = children.withLock { children in
            let path = child.mapping.path
            // A mapping that has moved meanwhile has a connection, and a breaker, of its own.
            guard children[path]?.alarm === child.alarm else { return false }
            if isAnswer {
                _ = children[path]?.breaker.succeeded()
                return false
            }
            return children[path]?.breaker.failed(at: now) ?? false
        }
        if opened { child.alarm.ring() }
    }

    /// A cell is reached through the child whose path its own begins with; calls to it are counted apart.
    private static func way(to cell: CellPath, in children: inout [CellPath: Child]) -> (Child, Bulkhead)? {
        var path: CellPath? = cell
        while let candidate = path {
            if let child = children[candidate] {
                if candidate == cell { return (child, child.bulkhead) }
                let bulkhead =
                    child.deepBulkheads[cell]
                    ?? Bulkhead(name: "calls to \(cell)", limit: deepCallLimit, waiting: callLimit)
                children[candidate]?.deepBulkheads[cell] = bulkhead
                return (child, bulkhead)
            }
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
