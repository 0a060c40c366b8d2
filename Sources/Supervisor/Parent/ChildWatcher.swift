import CellProtocol
import CloudModel
import FoundationEssentials
import Logging
import MessageBus
import Metrics
import Primitives
import ServerLifecycle
import Synchronization

/// A parent's ear at one child: applies the child's events in order, fills gaps by asking, keeps its health, and reads
/// its servers again when the directory has lost some.
final class ChildWatcher: Sendable {
    static let retryDelay: Duration = .seconds(1)
    /// Time that the child has to send a batch again (seconds).
    static let resendLimit: TimeInterval = 10
    /// How long the child's broker has to take a message that goes nowhere.
    static let probeTimeout: Duration = .milliseconds(700)
    /// Pages of an inventory that were overtaken by events before a resync gives up for a while.
    static let overtakenLimit = 50
    /// A difference counts when it is still there after this long.
    static let auditRepeat: Duration = .seconds(2)

    let cell: CellPath
    let watch: Watch
    /// The watch's, for which this was made: whoever lost the watch meanwhile knows nothing of now, even when it has it again.
    private let tenure: Int
    let bus: any MessageBus
    let store: any ParentStore
    let router: ChildRouter
    let health: Mutexed<ChildHealth>
    let lastSequence: Mutexed<Int64>
    let clock: any Clock<Duration>
    let wallClock: any WallClock
    let ids: any IDSource
    let settings: ParentSettings
    let recorder: HealthRecorder
    let logger: Logger
    private let inbox = EventInbox()
    private let isProbing = Mutexed(false)
    let isResyncWanted = Mutexed(false)
    /// A difference that reading everything again did not end.
    let explained = Mutexed<AuditDifference?>(nil)
    private let lag: LagGauge

    init(
        cell: CellPath, watch: Watch, tenure: Int, bus: any MessageBus, store: any ParentStore, router: ChildRouter,
        health: ChildHealth, lastSequence: Int64, clock: any Clock<Duration>, wallClock: any WallClock,
        ids: any IDSource, settings: ParentSettings, recorder: HealthRecorder, logger: Logger
    ) {
        self.cell = cell
        self.watch = watch
        self.tenure = tenure
        self.bus = bus
        self.store = store
        self.router = router
        self.health = Mutexed(health)
        self.lastSequence = Mutexed(lastSequence)
        self.clock = clock
        self.wallClock = wallClock
        self.ids = ids
        self.settings = settings
        self.recorder = recorder
        self.logger = logger
        lag = LagGauge(cell: cell)
    }

    func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await self.receive() }
            group.addTask { try await self.apply() }
            group.addTask { try await self.audit() }
            defer { inbox.close() }
            try await group.next()
            group.cancelAll()
        }
    }

    /// Reads the child's servers again, soon.
    func resync() {
        isResyncWanted.withLock { $0 = true }
        inbox.wake()
    }

    private func receive() async throws {
        while !Task.isCancelled {
            do throws(BusError) {
                try await bus.consume(queue: CellTopology.parentQueue, prefetch: EventInbox.prefetch) { delivery in
                    await self.handle(delivery)
                }
                return
            } catch .cancelled {
                return
            } catch {
                logger.warning("can't receive a cell's events", metadata: ["cell": "\(cell)", "error": "\(error)"])
            }
            try await clock.sleep(for: Self.retryDelay)
        }
    }

    private func handle(_ delivery: BusDelivery) async -> Disposition {
        do {
            switch delivery.envelope.kind {
            case CellHeartbeat.kind:
                let heartbeat = try CellHeartbeat(json: Array(delivery.envelope.body))
                await hear(heartbeat)
                return .acknowledge
            case SequencedEvent.kind:
                let event = try SequencedEvent(json: Array(delivery.envelope.body))
                guard event.cell == cell else { return .reject }
                return await inbox.deliver(event)
            default: return .reject
            }
        } catch {
            logger.error("unreadable event", metadata: ["cell": "\(cell)", "error": "\(error)"])
            return .reject
        }
    }

    // MARK: Health

    private func hear(_ heartbeat: CellHeartbeat) async {
        // One that waited in the queue would say nothing about now: its broker drops it.
        let now = wallClock.now()
        let isNews = health.withLock { $0.hear(heartbeat, at: now) }
        if isNews { publishHealth() }
        // Events on their way are no gap: one is when nothing came of it since the heartbeat before.
        if lag.isStuck(newest: heartbeat.newestSequence, applied: lastSequence.withLock { $0 }, at: now) {
            await catchUp()
        }
    }

    /// Looks at the clock; every ``ChildHealth/judgeInterval``.
    /// - Returns: whether the child's broker should be probed.
    func judge() -> Bool {
        let now = wallClock.now()
        if health.withLock({ $0.isCalm(at: now) }) { return false }
        if health.withLock({ $0.judge(at: now) }) { publishHealth() }
        guard health.withLock({ $0.isDoubtful(at: now) }) else { return false }
        return isProbing.withLock { isProbing in
            defer { isProbing = true }
            return !isProbing
        }
    }

    /// While the child is silent: does its broker take a message? One to a queue that does not exist comes back.
    func probeBroker() async {
        let outcome = await probe()
        if health.withLock({ $0.note(outcome, at: wallClock.now()) }) { publishHealth() }
        isProbing.withLock { $0 = false }
    }

    private func probe() async -> ChildHealth.BrokerProbe {
        guard bus.isConnected else { return .unreachable }
        let envelope = Envelope(
            messageID: ids.uuid(), requestID: "-", sender: "parent@\(cell)", kind: PingRequest.kind, body: Data())
        do throws(BusError) {
            try await bus.publish(
                envelope, to: BusAddress(exchange: "", routingKey: "nobody"), mandatory: true,
                timeout: Self.probeTimeout)
            return .answers
        } catch {
            switch error {
            case .unroutable, .refused, .malformed: return .answers
            case .timedOut, .tooManyInFlight, .cancelled: return .silent
            case .disconnected, .closed: return .unreachable
            }
        }
    }

    /// Says again how the child is when something else is written down: of an earlier tenure, or by somebody else.
    func correct(_ written: CellStatus.Health) {
        if health.withLock({ $0.view.health != written }) { publishHealth() }
    }

    private func publishHealth() {
        guard watch.tenure == tenure else { return }
        let current = health.withLock { $0 }
        let standing = CellStanding(
            path: cell, health: current.view.health, reason: current.view.reason, since: current.since,
            heartbeat: current.heartbeat)
        router.note(standing)
        recorder.note(standing)
        logger.notice(
            "cell health",
            metadata: [
                "cell": "\(cell)", "health": "\(current.view.health)", "reason": "\(current.view.reason ?? "-")",
            ])
    }

    // MARK: Events

    private func apply() async throws {
        while !Task.isCancelled {
            if isResyncWanted.withLock({ $0 }) { await resyncOnce() }
            let items = await inbox.take()
            guard !items.isEmpty else { continue }
            do {
                let applied = try await applyFollowing(items.map(\.event))
                inbox.answer(items) { $0.sequence <= applied ? .acknowledge : .retry }
            } catch {
                inbox.answer(items) { _ in .retry }
                logger.warning(
                    "events are not applied yet", metadata: ["cell": "\(cell)", "error": "\(ErrorChain(error))"])
                try await clock.sleep(for: Self.retryDelay)
            }
        }
    }

    /// Applies events; what is missing before the first is asked for.
    private func applyFollowing(_ events: [SequencedEvent]) async throws -> Int64 {
        var applied = lastSequence.withLock { $0 }
        guard let newest = events.last?.sequence, newest > applied else { return applied }
        if let first = events.first(where: { $0.sequence > applied }), first.sequence > applied + 1 {
            applied = try await resend(until: first.sequence - 1)
        }
        return try await apply(Self.run(of: events, after: applied))
    }

    /// Applies events that follow what was applied; says which of them were refused.
    private func apply(_ events: [SequencedEvent]) async throws -> Int64 {
        guard !events.isEmpty else { return lastSequence.withLock { $0 } }
        let applied = try await store.apply(events, from: cell, now: wallClock.now())
        lastSequence.withLock { $0 = max($0, applied.newest) }
        for refused in applied.refused {
            Counter(label: "cellwright_cell_events_refused", dimensions: [("cell", cell.description)]).increment()
            logger.error(
                "a cell's event is refused",
                metadata: [
                    "cell": "\(cell)", "event.sequence": "\(refused.sequence)", "error": "\(refused.reason)",
                ])
        }
        return applied.newest
    }

    /// The part of `events` that follows `sequence` without a gap.
    private static func run(of events: [SequencedEvent], after sequence: Int64) -> [SequencedEvent] {
        var next = sequence + 1
        return events.filter { event in
            guard event.sequence == next else { return false }
            next += 1
            return true
        }
    }

    private func catchUp() async {
        do {
            _ = try await resend(until: Int64.max)
        } catch {
            logger.warning(
                "a gap in events stays for now", metadata: ["cell": "\(cell)", "error": "\(ErrorChain(error))"])
        }
    }

    /// Asks the child for what comes after the newest applied event, batch by batch.
    private func resend(until wanted: Int64) async throws -> Int64 {
        var applied = lastSequence.withLock { $0 }
        while applied < wanted {
            let reply = try await router.send(EventsRequest(after: applied), to: cell, context: context())
            let events = Self.run(of: reply.events.sorted { $0.sequence < $1.sequence }, after: applied)
            guard !events.isEmpty else { return applied }
            applied = try await apply(events)
            if applied >= reply.newest { return applied }
        }
        return applied
    }

    func context() -> CellCallContext {
        CellCallContext(
            requestID: "-", caller: nil, deadline: wallClock.now().addingTimeInterval(Self.resendLimit))
    }
}

/// How far the directory is behind a cell, as metrics, and whether it moves.
private final class LagGauge: Sendable {
    private struct State {
        var behindSince: Date?
        var seenApplied: Int64 = -1
    }

    private let state = Mutex(State())
    private let events: Gauge
    private let seconds: Gauge

    init(cell: CellPath) {
        let dimensions = [("cell", cell.description)]
        events = Gauge(label: "cellwright_event_lag", dimensions: dimensions)
        seconds = Gauge(label: "cellwright_event_lag_seconds", dimensions: dimensions)
    }

    /// - Returns: whether there was as much to apply at the heartbeat before, and nothing came of it.
    func isStuck(newest: Int64, applied: Int64, at now: Date) -> Bool {
        let (isStuck, waited) = state.withLock { state in
            guard newest > applied else {
                state.behindSince = nil
                return (false, TimeInterval(0))
            }
            let isStuck = state.behindSince != nil && state.seenApplied == applied
            state.behindSince = state.behindSince ?? now
            state.seenApplied = applied
            return (isStuck, state.behindSince.map { now.timeIntervalSince($0) } ?? 0)
        }
        events.record(max(0, newest - applied))
        seconds.record(waited)
        return isStuck
    }
}

/// A value under a lock that several tasks of one service share.
final class Mutexed<Value: Sendable>: Sendable {
    private let mutex: Mutex<Value>

    init(_ value: Value) { mutex = Mutex(value) }

    func withLock<Result: Sendable>(_ body: (inout Value) -> Result) -> Result {
        mutex.withLock { value in body(&value) }
    }
}
