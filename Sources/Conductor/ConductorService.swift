import CellProtocol
package import CloudModel
import FoundationEssentials
package import Logging
package import MessageBus
package import Primitives
package import ServerLifecycle
import ServiceKit
import ServiceLifecycle

/// Runs and resumes the sagas of a leaf cell, and is the only one who commands its compute agents.
///
/// Sequence: a saga appears in the database → claimed with a lease, its first step logged (one transaction) → command to
/// the host, repeated until it answers → result, logged together with what it means for the server and the news of it
/// (one transaction, for all results that came meanwhile). Any number of conductors share a cell: a result goes to
/// whichever is free, the server's row lock orders them, and leases only say who repeats commands and watches the time.
package struct ConductorService: Service {
    private let cell: CellPath
    private let name: String
    private let store: any CellStore
    private let bus: any MessageBus
    private let clock: any Clock<Duration>
    private let wallClock: any WallClock
    private let ids: any IDSource
    private let settings: ConductorSettings
    private let logger: Logger

    /// - Parameters:
    ///   - cell: the leaf that it serves.
    ///   - name: of this conductor among those of the cell; the same after a restart, so that it goes on at once.
    ///   - bus: a connection to the leaf's own virtual host.
    package init(
        cell: CellPath, name: String, store: any CellStore, bus: any MessageBus, clock: any Clock<Duration>,
        wallClock: any WallClock, ids: any IDSource, settings: ConductorSettings = ConductorSettings(), logger: Logger
    ) {
        self.cell = cell
        self.name = name
        self.store = store
        self.bus = bus
        self.clock = clock
        self.wallClock = wallClock
        self.ids = ids
        self.settings = settings
        self.logger = logger
    }

    /// Works until cancelled or asked to stop gracefully; goes on by itself when database or broker come back. After a
    /// graceful stop its sagas are free at once, otherwise when their leases have run out.
    package func run() async throws {
        let inbox = ReportInbox()
        let metrics = ConductorMetrics()
        let outlet = CommandOutlet(
            bus: bus, ids: ids, wallClock: wallClock, sender: "conductor@\(cell)", timeout: settings.publishTimeout,
            metrics: metrics,
            logger: logger)
        var loop = ConductorLoop(
            cell: cell, lease: SagaLease(owner: name, duration: settings.leaseDuration), store: store, bus: bus,
            clock: clock, wallClock: wallClock, ids: ids, settings: settings, inbox: inbox, outlet: outlet,
            metrics: metrics,
            logger: logger)
        logger.notice("conductor starts", metadata: ["conductor": "\(name)"])
        await withGracefulShutdownHandler {
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await receive(inbox, ReportGate(), HostClocks(), metrics) }
                group.addTask { await listen(inbox) }
                group.addTask { await tick(inbox) }
                group.addTask { await outlet.run() }
                await loop.run()
                group.cancelAll()
            }
        } onGracefulShutdown: {
            inbox.stop()
        }
    }

    // MARK: What wakes the loop

    private func receive(
        _ inbox: ReportInbox, _ gate: ReportGate, _ clocks: HostClocks, _ metrics: ConductorMetrics
    ) async {
        await persistently("reports can't be received") {
            try await bus.declare(.cell)
            try await bus.consume(queue: CellTopology.conductorQueue, prefetch: settings.prefetch) {
                await take($0, inbox, gate, clocks, metrics)
            }
        }
    }

    private func listen(_ inbox: ReportInbox) async {
        await persistently("no nudges from the database") {
            try await store.listen(.sagas) { inbox.nudge() }
        }
    }

    private func tick(_ inbox: ReportInbox) async {
        inbox.nudge()
        while !Task.isCancelled {
            do {
                try await clock.sleep(for: settings.tick)
            } catch {
                return
            }
            inbox.tick()
        }
    }

    /// Does it again, with a growing wait, until cancelled.
    private func persistently(_ complaint: Logger.Message, _ body: () async throws -> Void) async {
        await RetryLoop(clock: clock, wallClock: wallClock, ids: ids, logger: logger).run(complaint, body)
    }

    // MARK: Reports

    private func isOwn(_ host: HostName, of hostKey: String, _ metrics: ConductorMetrics) -> Bool {
        if CellTopology.hostKey(host.text) == hostKey { return true }
        metrics.countForeign()
        logger.warning("host speaks for another", metadata: ["host": "\(hostKey)", "of": "\(host)"])
        return false
    }

    private func take(
        _ delivery: BusDelivery, _ inbox: ReportInbox, _ gate: ReportGate, _ clocks: HostClocks,
        _ metrics: ConductorMetrics
    ) async -> Disposition {
        let envelope = delivery.envelope
        guard let source = CellTopology.reportSource(routingKey: delivery.routingKey) else { return .reject }
        let verdict = gate.admit(
            envelope.messageID, bytes: envelope.body.count, from: source.hostKey, at: wallClock.now())
        metrics.count(verdict)
        switch verdict {
        case .taken: break
        case .repeated: return .acknowledge
        case .tooMany: return .reject
        case .tooLarge:
            logger.warning(
                "report is too large",
                metadata: ["host": "\(source.hostKey)", "report.bytes": "\(envelope.body.count)"])
            return .reject
        }
        let disposition = await read(envelope, from: source.hostKey, inbox, clocks, metrics)
        if disposition == .retry { gate.forget(envelope.messageID, from: source.hostKey) }
        return disposition
    }

    private func read(
        _ envelope: Envelope, from hostKey: String, _ inbox: ReportInbox, _ clocks: HostClocks,
        _ metrics: ConductorMetrics
    ) async -> Disposition {
        let now = wallClock.now()
        do {
            switch envelope.kind {
            case StepResult.kind:
                let result = try JSONDecoder().decode(StepResult.self, from: envelope.body)
                return await inbox.deliver(.step(result), from: hostKey, requestID: envelope.requestID)
            case GuestLifecycleReport.kind:
                var report = try JSONDecoder().decode(GuestLifecycleReport.self, from: envelope.body)
                report.seenAt = clocks.time(report.seenAt, from: hostKey, now: now)
                return await inbox.deliver(.lifecycle(report), from: hostKey, requestID: envelope.requestID)
            case AgentHeartbeat.kind:
                var heartbeat = try JSONDecoder().decode(AgentHeartbeat.self, from: envelope.body)
                guard isOwn(heartbeat.host, of: hostKey, metrics) else { return .reject }
                if let ahead = clocks.learn(heartbeat.sentAt, from: hostKey, now: now) {
                    logger.warning(
                        "a host's clock is wrong",
                        metadata: ["host": "\(heartbeat.host)", "clock.ahead.seconds": "\(ahead)"])
                }
                heartbeat.sentAt = clocks.time(heartbeat.sentAt, from: hostKey, now: now)
                inbox.note(heartbeat)
                return .acknowledge
            case AgentHoldings.kind:
                var holdings = try JSONDecoder().decode(AgentHoldings.self, from: envelope.body)
                guard isOwn(holdings.host, of: hostKey, metrics) else { return .reject }
                holdings.sentAt = clocks.time(holdings.sentAt, from: hostKey, now: now)
                inbox.note(holdings)
                return .acknowledge
            default:
                logger.warning("unknown report", metadata: ["bus.kind": "\(envelope.kind)"])
                return .reject
            }
        } catch {
            metrics.countUnreadable()
            logger.error(
                "unreadable report",
                metadata: ["host": "\(hostKey)", "bus.kind": "\(envelope.kind)", "error": "\(error)"])
            return .reject
        }
    }
}
