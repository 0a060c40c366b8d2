import CellProtocol
import CloudModel
import FoundationEssentials
import Logging
import MessageBus
import Metrics
import Primitives
import ServerLifecycle
import Synchronization

/// A parent's ear at one child: applies the child's events in order, fills gaps by asking, and keeps its health.
struct ChildWatcher: Sendable {
    static let judgeInterval: Duration = .milliseconds(500)
    static let retryDelay: Duration = .seconds(1)
    /// Time that the child has to send a batch again (seconds).
    static let resendLimit: TimeInterval = 10

    let cell: CellPath
    let bus: any MessageBus
    let store: any RootStore
    let router: ChildRouter
    let health: Mutexed<ChildHealth>
    let lastSequence: Mutexed<Int64>
    let clock: any Clock<Duration>
    let wallClock: any WallClock
    let ids: any IDSource
    let logger: Logger
    /// Told when the child came back, so that what waits for it goes out at once.
    let onUp: @Sendable () -> Void

    func run() async throws {
        let inbox = EventInbox()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await self.receive(into: inbox) }
            group.addTask { try await self.apply(from: inbox) }
            group.addTask { try await self.judge() }
            defer { inbox.close() }
            try await group.next()
            group.cancelAll()
        }
    }

    private func receive(into inbox: EventInbox) async throws {
        while !Task.isCancelled {
            do throws(BusError) {
                try await bus.consume(queue: CellTopology.parentQueue, prefetch: EventInbox.limit) { delivery in
                    await self.handle(delivery, inbox)
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

    private func handle(_ delivery: BusDelivery, _ inbox: EventInbox) async -> Disposition {
        do {
            switch delivery.envelope.kind {
            case CellHeartbeat.kind:
                let heartbeat = try JSONDecoder().decode(CellHeartbeat.self, from: delivery.envelope.body)
                await hear(heartbeat)
                return .acknowledge
            case SequencedEvent.kind:
                let event = try JSONDecoder().decode(SequencedEvent.self, from: delivery.envelope.body)
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
        // A heartbeat that waited in the queue says nothing about now.
        let now = wallClock.now()
        guard now.timeIntervalSince(heartbeat.sentAt) < ChildHealth.silenceLimit else { return }
        let isNews = health.withLock { $0.hear(heartbeat, at: now) }
        if isNews { await publishHealth() }
        if heartbeat.newestSequence > lastSequence.withLock({ $0 }) { await catchUp() }
    }

    private func judge() async throws {
        while !Task.isCancelled {
            if health.withLock({ $0.judge(at: wallClock.now()) }) { await publishHealth() }
            try await clock.sleep(for: Self.judgeInterval)
        }
    }

    private func publishHealth() async {
        let current = health.withLock { $0 }
        do {
            try await store.setHealth(
                of: cell, current.view.health, reason: current.view.reason, since: current.since,
                heartbeat: current.heartbeat)
            logger.notice(
                "cell health",
                metadata: [
                    "cell": "\(cell)", "health": "\(current.view.health)", "reason": "\(current.view.reason ?? "-")",
                ])
            if current.view.health != .down { onUp() }
        } catch {
            logger.error("cell health is not recorded", metadata: ["cell": "\(cell)", "error": "\(ErrorChain(error))"])
        }
    }

    // MARK: Events

    private func apply(from inbox: EventInbox) async throws {
        while !Task.isCancelled {
            let items = await inbox.take()
            guard !items.isEmpty else { continue }
            do {
                let applied = try await applyFollowing(items.map(\.event))
                for item in items {
                    item.answer.resume(returning: item.event.sequence <= applied ? .acknowledge : .retry)
                }
            } catch {
                for item in items { item.answer.resume(returning: .retry) }
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
            let context = CellCallContext(
                requestID: "-", caller: nil, deadline: wallClock.now().addingTimeInterval(Self.resendLimit))
            let reply = try await router.send(EventsRequest(after: applied), to: cell, context: context)
            let events = Self.run(of: reply.events.sorted { $0.sequence < $1.sequence }, after: applied)
            guard !events.isEmpty else { return applied }
            applied = try await apply(events)
            if applied >= reply.newest { return applied }
        }
        return applied
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
