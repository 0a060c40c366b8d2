import CellProtocol
import CloudModel
import CoreMetrics
import FoundationEssentials
import Logging
import MessageBus
import Primitives
import SagaEngine
import ServerLifecycle

/// The conductor's one loop: wakes for reports, nudges and time, and does one transaction after the other.
struct ConductorLoop {
    let cell: CellPath
    let lease: SagaLease
    let store: any CellStore
    let bus: any MessageBus
    let clock: any Clock<Duration>
    let wallClock: any WallClock
    let ids: any IDSource
    let settings: ConductorSettings
    let inbox: ReportInbox
    let outlet: CommandOutlet
    let metrics: ConductorMetrics
    let logger: Logger

    var held: HeldSagas
    var presence = HostPresence()
    private var lastSweep = Date.distantPast
    private var failures = 0
    private var isFresh = true

    init(
        cell: CellPath, lease: SagaLease, store: any CellStore, bus: any MessageBus, clock: any Clock<Duration>,
        wallClock: any WallClock, ids: any IDSource, settings: ConductorSettings, inbox: ReportInbox,
        outlet: CommandOutlet,
        metrics: ConductorMetrics, logger: Logger
    ) {
        self.cell = cell
        self.lease = lease
        self.store = store
        self.bus = bus
        self.clock = clock
        self.wallClock = wallClock
        self.ids = ids
        self.settings = settings
        self.inbox = inbox
        self.outlet = outlet
        self.metrics = metrics
        self.logger = logger
        held = HeldSagas(firstRepeat: settings.firstRepeat, repeatCap: settings.repeatCap)
    }

    /// Works until cancelled, or until the inbox is asked to stop; then everything held is given back.
    mutating func run() async {
        defer { inbox.close() }
        for await _ in inbox.wakes {
            var hasMore = true
            while hasMore, !Task.isCancelled {
                let batch = inbox.take(limit: settings.prefetch)
                hasMore = batch.hasMore
                if batch.isStopping {
                    for item in batch.items { item.settle(.retry) }
                    await stop()
                    return
                }
                await turn(batch)
            }
        }
    }

    private mutating func turn(_ batch: ReportInbox.Batch) async {
        var open = batch.items
        do throws(CellStoreError) {
            try await handle(&open)
            let now = wallClock.now()
            let isSweep =
                now.timeIntervalSince(lastSweep) >= settings.sweepInterval.timeInterval || now >= held.validUntil
            if isFresh {
                // What this conductor held before it crashed need not wait for its leases to end.
                try await store.release(owner: lease.owner)
                isFresh = false
            }
            if isSweep {
                lastSweep = now
                try await renew()
            }
            if isSweep || batch.isNudged { try await claim() }
            if batch.isTick {
                try await watchTime()
                try await watchHosts(isSweep: isSweep)
            }
            send(now: wallClock.now())
            failures = 0
        } catch {
            for item in open { item.settle(.retry) }
            if batch.isNudged { inbox.nudge() }
            await complain(error)
        }
    }

    /// The database is away: reports go back to the broker, and the next try waits.
    private mutating func complain(_ error: CellStoreError) async {
        if Task.isCancelled { return }
        logger.warning("the database is not used for now", metadata: ["error": "\(error)"])
        var random = ids.chance()
        let delay = Backoff().delay(attempt: failures, using: &random)
        failures += 1
        do {
            try await clock.sleep(for: delay)
        } catch {
            return
        }
    }

    private mutating func stop() async {
        do throws(CellStoreError) {
            try await store.release(owner: lease.owner)
        } catch {
            logger.warning("sagas are free only when their leases end", metadata: ["error": "\(error)"])
        }
    }

    // MARK: Reports

    /// Handles all of them in one transaction. What is settled leaves `items`.
    private mutating func handle(_ items: inout [ReportInbox.Item]) async throws(CellStoreError) {
        guard !items.isEmpty else { return }
        do throws(CellStoreError) {
            let outcomes = try await decide(items)
            for (item, outcome) in zip(items, outcomes) { conclude(item, outcome) }
            items = []
        } catch .broken(let detail) {
            // One unreadable row must not stop the others.
            guard items.count > 1 else {
                logger.error("report can't be handled", metadata: ["error": "\(detail)"])
                for item in items { item.settle(.reject) }
                items = []
                return
            }
            while let first = items.first {
                var one = [first]
                try await handle(&one)
                items.removeFirst()
            }
        }
    }

    private func decide(_ items: [ReportInbox.Item]) async throws(CellStoreError) -> [ReportOutcome] {
        var scope = CellScope()
        for item in items {
            switch item.report {
            case .step(let result): scope.sagas.append(result.key.saga)
            case .lifecycle(let report): scope.servers.append(report.guest.id)
            }
        }
        let now = wallClock.now()
        let reports = items.map { ($0.report, $0.hostKey, SagaID(ids.uuid())) }
        let (outcomes, mended) = try await store.transact(scope) { [lease] snapshot in
            var plan = CellPlan(snapshot, now: now)
            let outcomes = reports.map { report, hostKey, sagaID -> ReportOutcome in
                switch report {
                case .step(let result): return plan.take(result, from: hostKey, lease: lease)
                case .lifecycle(let report):
                    let isOwn = plan.see(report.guest, at: report.seenAt, from: hostKey, sagaID: sagaID)
                    return isOwn ? .applied(nil) : .foreign
                }
            }
            return CellDecision(plan.changes(), (outcomes, plan.mended))
        }
        tell(mended)
        return outcomes
    }

    private mutating func conclude(_ item: ReportInbox.Item, _ outcome: ReportOutcome) {
        metrics.count(outcome)
        var disposition = Disposition.acknowledge
        switch (item.report, outcome) {
        case (.step(let result), .applied(let pursuit)):
            logStep(result, item)
            metrics.record(result, after: held.age(of: result.key, now: wallClock.now()))
            if let pursuit { held.hold(pursuit) } else { held.drop(result.key.saga) }
        case (.step(let result), .orphan(let command, let input)):
            logger.notice(
                "a guest of an attempt that is over is removed",
                metadata: ["server.id": "\(result.instanceID)", "saga.step": "\(result.key)"])
            if let host = presence.host(withKey: item.hostKey) {
                outlet.send(.init(command: command, host: host, input: input))
            }
        case (_, .foreign):
            disposition = .reject
            logger.warning("host reports on a server that is not its own", metadata: ["host": "\(item.hostKey)"])
        case (_, .unreadable(let error)):
            disposition = .reject
            logger.error("saga can't be read", metadata: ["error": "\(error)", "host": "\(item.hostKey)"])
        case (_, .stale), (.lifecycle, .applied), (.lifecycle, .orphan): break
        }
        item.settle(disposition)
    }

    private func logStep(_ result: StepResult, _ item: ReportInbox.Item) {
        var metadata: Logger.Metadata = [
            "server.id": "\(result.instanceID)", "saga.step": "\(result.key)", "host": "\(item.hostKey)",
            "request.id": "\(item.requestID)",
        ]
        switch result.outcome {
        case .succeeded: logger.info("step done", metadata: metadata)
        case .failed(_, let details, _):
            metadata["error"] = "\(details)"
            logger.warning("step failed", metadata: metadata)
        }
    }

    // MARK: Sagas

    /// A conductor that was frozen comes here before it does anything else, and learns what was taken from it.
    private mutating func renew() async throws(CellStoreError) {
        let leases = held.leases
        let validUntil = wallClock.now() + lease.duration.timeInterval
        let kept = try await store.renew(lease, leases)
        held.keep(kept, of: leases, validUntil: validUntil, now: wallClock.now())
        if kept.count < leases.count {
            metrics.sagasLost.increment(by: leases.count - kept.count)
            logger.notice("sagas are no longer ours", metadata: ["count": "\(leases.count - kept.count)"])
        }
        metrics.sagasHeld.record(held.count)
    }

    /// Takes sagas that no one holds, until there are no more or this one has its fill.
    private mutating func claim() async throws(CellStoreError) {
        while !Task.isCancelled {
            let limit = min(settings.claimLimit, settings.heldLimit - held.count)
            guard limit > 0 else { return }
            let now = wallClock.now()
            let (claimed, unreadable, formerOwners) = try await store.claim(lease, limit: limit) { snapshot in
                var plan = CellPlan(snapshot, now: now)
                let outcomes = snapshot.sagas.values.sorted { ($0.createdAt, $0.id) < ($1.createdAt, $1.id) }.map {
                    plan.resume($0.id)
                }
                return CellDecision(plan.changes(), (outcomes, snapshot.unreadable, snapshot.formerOwners))
            }
            for saga in unreadable {
                logger.error("saga can't be read", metadata: ["saga.id": "\(saga.id)", "error": "\(saga.reason)"])
            }
            for (saga, owner) in formerOwners {
                metrics.sagasTakenOver.increment()
                logger.notice(
                    "saga is taken over: its owner was silent", metadata: ["saga.id": "\(saga)", "owner": "\(owner)"])
            }
            for outcome in claimed {
                switch outcome {
                case .success(let pursuit): if let pursuit { held.hold(pursuit) }
                case .failure(let error): logger.error("saga can't be read", metadata: ["error": "\(error)"])
                }
            }
            send(now: wallClock.now())
            if claimed.count + unreadable.count < limit { return }
        }
    }

    /// Lets attempts that took too long fail, and tells failures whose undo takes too long.
    private mutating func watchTime() async throws(CellStoreError) {
        let now = wallClock.now()
        let due = held.due(at: now)
        send(due)
        guard !due.events.isEmpty else { return }
        for start in stride(from: 0, to: due.events.count, by: CellScope.limit) {
            let events = Array(due.events[start..<min(start + CellScope.limit, due.events.count)])
            metrics.stepsTimedOut.increment(by: events.count)
            let outcomes = try await store.transact(CellScope(sagas: events.map(\.saga))) { [lease] snapshot in
                var plan = CellPlan(snapshot, now: now)
                let outcomes = events.map {
                    plan.move($0.saga, by: $0.event, ownership: .taken(lease), onlyUnder: $0.leaseEpoch)
                }
                return CellDecision(plan.changes(), outcomes)
            }
            for (event, outcome) in zip(events, outcomes) {
                logger.notice(
                    "a step takes too long", metadata: ["saga.id": "\(event.saga)", "event": "\(event.event)"])
                if case .success(let pursuit?) = outcome { held.hold(pursuit) } else { held.drop(event.saga) }
            }
        }
    }

    private mutating func send(now: Date) { send(held.due(at: now)) }

    private func send(_ due: HeldSagas.Due) {
        for pursuit in due.commands {
            outlet.send(
                .init(
                    command: pursuit.command, host: pursuit.host, input: pursuit.input, validUntil: held.validUntil))
        }
    }
}
