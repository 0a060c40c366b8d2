import CellProtocol
import CloudModel
import FoundationEssentials
import Logging
import MessageBus
import Primitives
import ServerLifecycle

extension ConductorLoop {
    /// Hosts whose guests are compared in one turn.
    static let comparisonLimit = 50

    /// Stores who spoke, notices who fell silent, and compares what hosts run with what they should.
    mutating func watchHosts(isSweep: Bool) async throws(CellStoreError) {
        let now = wallClock.now()
        presence.note(isConnected: bus.isConnected, now: now)
        let heartbeats = inbox.takeHeartbeats()
        if !heartbeats.isEmpty {
            try await store(heartbeats, now: now)
            try await compare(heartbeats)
        }
        if isSweep, presence.isSilenceMeaningful(now: now, timeout: settings.hostTimeout) {
            try await silence(now: now)
        }
    }

    private mutating func store(_ heartbeats: [AgentHeartbeat], now: Date) async throws(CellStoreError) {
        var plain: [HostSighting] = []
        var rest: [HostSighting] = []
        for heartbeat in heartbeats {
            let sighting = HostSighting(
                name: heartbeat.host, providerID: heartbeat.providerID,
                availabilityZone: heartbeat.availabilityZone, seenAt: now, inventory: heartbeat.inventory)
            if presence.isPlain(heartbeat) { plain.append(sighting) } else { rest.append(sighting) }
        }
        if !plain.isEmpty {
            let touched = try await store.touchHosts(plain)
            rest += plain.filter { !touched.contains($0.name) }
        }
        guard !rest.isEmpty else { return }
        let sightings = rest
        let sighted = try await store.changeHosts(
            rest.map(\.name), providers: rest.map(\.providerID)
        ) { [cell] known in
            HostPlan.sight(sightings, known: known, cell: cell)
        }
        for host in sighted.impostors {
            metrics.countForeign()
            logger.error("host claims another's provider id", metadata: ["host": "\(host)"])
        }
        for sighting in rest where !sighted.impostors.contains(sighting.name) { presence.stored(sighting) }
        held.wake(hosts: Set(sighted.woken), now: now)
        for host in sighted.woken {
            logger.notice("host is up", metadata: ["host": "\(host)"])
            await declare(host)
        }
    }

    /// The queue may be missing: a new host, or a broker that lost its data. Without it the agent waits.
    private func declare(_ host: HostName) async {
        do throws(BusError) {
            try await bus.declare(.host(host.text))
        } catch {
            logger.warning("the host's queue can't be made", metadata: ["host": "\(host)", "error": "\(error)"])
        }
    }

    private func silence(now: Date) async throws(CellStoreError) {
        let bound = now - settings.hostTimeout.timeInterval
        let silent = try await store.silentHosts(since: bound)
        guard !silent.isEmpty else { return }
        let gone = try await store.changeHosts(silent) { HostPlan.silence(since: bound, known: $0, now: now) }
        for host in gone { logger.warning("host is down", metadata: ["host": "\(host)"]) }
    }

    // MARK: What hosts run

    private func compare(_ heartbeats: [AgentHeartbeat]) async throws(CellStoreError) {
        let full = heartbeats.filter { $0.guests != nil }
        for start in stride(from: 0, to: full.count, by: Self.comparisonLimit) {
            try await compareSome(full[start..<min(start + Self.comparisonLimit, full.count)])
        }
    }

    private func compareSome(_ heartbeats: ArraySlice<AgentHeartbeat>) async throws(CellStoreError) {
        let ids = heartbeats.flatMap { $0.guests ?? [] }.map(\.id)
        let placed = try await store.placed(on: heartbeats.map(\.host), or: ids)
        var reports: [(guest: GuestReport, at: Date, hostKey: String)] = []
        for heartbeat in heartbeats {
            let comparison = GuestComparison(
                host: heartbeat.host, guests: heartbeat.guests ?? [], sentAt: heartbeat.sentAt, placed: placed)
            for command in comparison.leftovers {
                logger.notice(
                    "a leftover guest is removed",
                    metadata: ["server.id": "\(command.instanceID)", "host": "\(heartbeat.host)"])
                outlet.send(.init(command: command, host: heartbeat.host, input: SagaInput(requestID: "-")))
            }
            if comparison.unknown > 0 {
                logger.warning(
                    "guests that this cell does not know",
                    metadata: ["host": "\(heartbeat.host)", "count": "\(comparison.unknown)"])
            }
            let key = CellTopology.hostKey(heartbeat.host.text)
            reports += comparison.differences.map { ($0, heartbeat.sentAt, key) }
        }
        for start in stride(from: 0, to: reports.count, by: CellScope.limit) {
            let some = Array(reports[start..<min(start + CellScope.limit, reports.count)])
            let now = wallClock.now()
            try await store.transact(CellScope(servers: some.map(\.guest.id))) { snapshot in
                var plan = CellPlan(snapshot, now: now)
                for report in some { _ = plan.see(report.guest, at: report.at, from: report.hostKey) }
                return CellDecision(plan.changes(), ())
            }
        }
    }
}
