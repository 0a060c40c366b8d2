import CellProtocol
import CloudModel
import CoreMetrics
import FoundationEssentials
import Logging
import MessageBus
import Primitives
import ServerLifecycle

extension ConductorLoop {
    /// Hosts whose guests are compared in one turn.
    static let comparisonLimit = 50
    /// Things nobody knows that a line of the log names.
    static let namedStrangers = 10

    /// Stores who spoke, notices who fell silent, and compares what hosts run with what they should.
    mutating func watchHosts(isSweep: Bool) async throws(CellStoreError) {
        let now = wallClock.now()
        if presence.note(isConnected: bus.isConnected, now: now) { held.wakeAll(now: now) }
        let heartbeats = inbox.takeHeartbeats()
        if !heartbeats.isEmpty {
            try await store(heartbeats, now: now)
            try await compare(heartbeats)
        }
        for holdings in inbox.takeHoldings() { try await sort(holdings) }
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
        var reports: [GuestSighting] = []
        for heartbeat in heartbeats {
            let guests = heartbeat.guests ?? []
            let comparison = GuestComparison(
                host: heartbeat.host, guests: guests, sentAt: heartbeat.sentAt, placed: placed)
            let key = CellTopology.hostKey(heartbeat.host.text)
            reports += comparison.differences.map {
                GuestSighting(guest: $0, at: heartbeat.sentAt, hostKey: key, sagaID: SagaID(self.ids.uuid()))
            }
            remove(
                LeftoverPlan(
                    host: heartbeat.host, servers: guests.map(\.id), sentAt: heartbeat.sentAt, placed: placed),
                from: heartbeat.host)
        }
        for start in stride(from: 0, to: reports.count, by: CellScope.limit) {
            let some = Array(reports[start..<min(start + CellScope.limit, reports.count)])
            let now = wallClock.now()
            let mended = try await store.transact(CellScope(servers: some.map(\.guest.id))) { snapshot in
                var plan = CellPlan(snapshot, now: now)
                for report in some {
                    _ = plan.see(report.guest, at: report.at, from: report.hostKey, sagaID: report.sagaID)
                }
                return CellDecision(plan.changes(), plan.mended)
            }
            tell(mended)
        }
    }

    /// Sorts what a host still has into what is dead, which goes, and what nobody knows, which stays.
    private func sort(_ holdings: AgentHoldings) async throws(CellStoreError) {
        let servers = Array(holdings.servers.prefix(AgentHoldings.limit))
        let ports = Array(holdings.ports.prefix(AgentHoldings.limit))
        var plan = LeftoverPlan(
            host: holdings.host, servers: servers, sentAt: holdings.sentAt,
            placed: try await store.placed(on: [], or: servers))
        if !ports.isEmpty {
            plan.add(
                ports: ports, on: holdings.host, sentAt: holdings.sentAt, owners: try await store.ports(ports))
        }
        remove(plan, from: holdings.host)
    }

    private func remove(_ plan: LeftoverPlan, from host: HostName) {
        for command in plan.removals {
            metrics.leftoversRemoved.increment()
            logger.notice(
                "a leftover is removed",
                metadata: ["server.id": "\(command.instanceID)", "host": "\(host)", "saga.step": "\(command.key)"])
            outlet.send(.init(command: command, host: host, input: SagaInput(requestID: "-")))
        }
        guard !plan.unknownServers.isEmpty || !plan.unknownPorts.isEmpty else { return }
        metrics.strangersLeft.increment(by: plan.unknownServers.count + plan.unknownPorts.count)
        logger.warning(
            "a host has what this cell has never heard of; it is left alone",
            metadata: [
                "host": "\(host)", "servers": "\(plan.unknownServers.prefix(Self.namedStrangers))",
                "ports": "\(plan.unknownPorts.prefix(Self.namedStrangers))",
                "count": "\(plan.unknownServers.count + plan.unknownPorts.count)",
            ])
    }

    /// Says what hosts' words put right.
    func tell(_ mended: [ServerID: ServerMending]) {
        for (id, what) in mended {
            metrics.count(what)
            logger.notice("a server is put right", metadata: ["server.id": "\(id)", "what": "\(what.rawValue)"])
        }
    }
}

/// What a host said of one guest.
private struct GuestSighting: Sendable {
    let guest: GuestReport
    let at: Date
    let hostKey: String
    /// For the stop of a guest that should not run.
    let sagaID: SagaID
}
