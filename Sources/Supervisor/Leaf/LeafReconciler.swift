import CellProtocol
import CloudModel
import FoundationEssentials
import Logging
import Metrics
import Primitives
import ServerLifecycle

/// Keeps what must stay true of a whole leaf: who is said to be worked on is worked on, and what waits is seen.
///
/// Level-triggered, without input: it looks every few seconds, and one supervisor at a time does. What hosts run is
/// compared by the conductor that hears them.
struct LeafReconciler: Sendable {
    /// A task without a saga, and a saga without a conductor, count after this long (seconds).
    static let patience: TimeInterval = 60

    let parts: CellParts
    let store: any CellStore
    private let mended = Counter(
        label: "cellwright_reconciled", dimensions: [("what", ServerMending.strandedTask.rawValue)])
    private let live = Gauge(label: "cellwright_sagas", dimensions: [("state", "live")])
    private let parked = Gauge(label: "cellwright_sagas", dimensions: [("state", "parked")])
    private let orphaned = Gauge(label: "cellwright_sagas_without_conductor")
    private let oldest = Gauge(label: "cellwright_saga_oldest_seconds")
    private let lost = Gauge(label: "cellwright_servers_on_lost_hosts")
    /// What was said last, so that it is said again only when it changed.
    private let said = Mutexed<[String: Int]>([:])

    init(parts: CellParts, store: any CellStore) {
        self.parts = parts
        self.store = store
    }

    func run() async {
        while await parts.pause(parts.settings.reconcileInterval) {
            do throws(CellStoreError) {
                try await turn()
            } catch {
                parts.logger.warning("nothing is reconciled for now", metadata: ["error": "\(error)"])
            }
        }
    }

    private func turn() async throws(CellStoreError) {
        let duration = parts.settings.reconcileInterval + parts.settings.dutyDuration
        guard try await store.takeDuty(.reconciler, owner: parts.name, for: duration) else { return }
        let now = parts.wallClock.now()
        let upkeep = try await store.upkeep(before: now - Self.patience)
        live.record(upkeep.liveSagas)
        parked.record(upkeep.parkedSagas)
        orphaned.record(upkeep.orphanedSagas)
        oldest.record(upkeep.oldestSaga.map { now.timeIntervalSince($0) } ?? 0)
        lost.record(upkeep.serversOnLostHosts.values.reduce(0, +))
        say("sagas are parked: an operator must look", "parked", upkeep.parkedSagas)
        say("sagas have no conductor", "orphaned", upkeep.orphanedSagas)
        for (host, count) in upkeep.serversOnLostHosts {
            say("servers are on a host that is lost", "host \(host)", count, ["host": "\(host)"])
        }
        for host in said.withLock({ Array($0.keys) }) where host.hasPrefix("host ") {
            if upkeep.serversOnLostHosts[HostName(String(host.dropFirst(5)))] == nil { say("", host, 0) }
        }
        try await mend(upkeep.stranded, now: now)
    }

    private func mend(_ servers: [ServerID], now: Date) async throws(CellStoreError) {
        guard !servers.isEmpty else { return }
        let sagas = servers.map { ($0, SagaID(parts.ids.uuid())) }
        let found = try await store.transact(CellScope(servers: servers)) { snapshot in
            var plan = CellPlan(snapshot, now: now)
            let found = sagas.filter { plan.mendTask(of: $0.0, sagaID: $0.1) != nil }.map(\.0)
            return CellDecision(plan.changes(), found)
        }
        mended.increment(by: Int64(found.count))
        for id in found {
            parts.logger.warning(
                "a server was marked as being worked on, and nobody was", metadata: ["server.id": "\(id)"])
        }
    }

    private func say(
        _ message: Logger.Message, _ key: String, _ count: Int, _ metadata: Logger.Metadata = [:]
    ) {
        let isNews = said.withLock { said in
            let old = said.updateValue(count, forKey: key) ?? 0
            if count == 0 { said[key] = nil }
            return count > 0 && count != old
        }
        guard isNews else { return }
        parts.logger.warning(message, metadata: metadata.merging(["count": "\(count)"]) { $1 })
    }
}
