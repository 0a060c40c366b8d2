import FoundationEssentials
import Logging
import Metrics
import Primitives
import ServerLifecycle

/// Keeps what must stay true of the root's own tables: servers without a cell are in the directory, what counts against
/// quotas is what there is, and nothing is claimed for a server that is gone.
struct DirectoryKeeper: Sendable {
    /// Time between two proofs of counts and claims (seconds).
    static let proofInterval: TimeInterval = 30

    let store: any RootStore
    let wallClock: any WallClock
    let logger: Logger
    private let provedAt = Mutexed(Date.distantPast)
    private let mended = Counter(label: "cellwright_quota_uses_mended")
    private let unclaimed = Gauge(label: "cellwright_servers_without_claim")
    private let strangePorts = Gauge(label: "cellwright_ports_of_unknown_servers")
    private let seen = Mutexed(RootMending())

    init(store: any RootStore, wallClock: any WallClock, logger: Logger) {
        self.store = store
        self.wallClock = wallClock
        self.logger = logger
    }

    /// - Returns: false: nothing is left for now.
    func turn() async throws -> Bool {
        let restored = try await store.restoreUnplaced()
        if restored > 0 {
            logger.warning("servers without a cell are in the directory again", metadata: ["servers": "\(restored)"])
        }
        let now = wallClock.now()
        guard now.timeIntervalSince(provedAt.withLock { $0 }) >= Self.proofInterval else { return false }
        let wrong = try await store.reconcileUses()
        provedAt.withLock { $0 = now }
        if wrong > 0 {
            mended.increment(by: Int64(wrong))
            logger.warning("what counts against quotas was wrong", metadata: ["servers": "\(wrong)"])
        }
        tell(try await store.reconcileClaims())
        return false
    }

    private func tell(_ mending: RootMending) {
        let parts: [(String, Int, Logger.Message)] = [
            ("claims-released", mending.claimsReleased, "claims without a server are released"),
            ("counters-mended", mending.countersMended, "counters of hosts were not the sum of their claims"),
            ("ports-released", mending.portsReleased, "ports of deleted servers are given back"),
        ]
        for (what, count, message) in parts where count > 0 {
            Counter(label: "cellwright_reconciled", dimensions: [("what", what)]).increment(by: Int64(count))
            logger.warning(message, metadata: ["count": "\(count)"])
        }
        unclaimed.record(mending.unclaimed)
        strangePorts.record(mending.strangePorts)
        let old = seen.withLock { seen in
            defer { seen = mending }
            return seen
        }
        if mending.unclaimed > 0, mending.unclaimed != old.unclaimed {
            logger.warning("servers have no claim on their host", metadata: ["count": "\(mending.unclaimed)"])
        }
        if mending.strangePorts > 0, mending.strangePorts != old.strangePorts {
            logger.warning(
                "ports are of servers that nobody has heard of; they are left alone",
                metadata: ["count": "\(mending.strangePorts)"])
        }
    }
}
