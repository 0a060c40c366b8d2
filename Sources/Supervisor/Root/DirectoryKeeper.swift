import FoundationEssentials
import Logging
import Metrics
import Primitives
import ServerLifecycle

/// Keeps what must stay true of the root's own tables: servers without a cell are in the directory, and quotas, claims,
/// groups and ports are those of the servers there are.
struct DirectoryKeeper: Sendable {
    /// Time between two proofs (seconds).
    static let proofInterval: TimeInterval = 30

    let store: any RootStore
    let wallClock: any WallClock
    let logger: Logger
    private let provedAt = Mutexed(Date.distantPast)

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
        let found = try await store.reconcile()
        provedAt.withLock { $0 = now }
        for (name, count) in found.findings {
            Counter(label: "cellwright_reconciled", dimensions: [("what", name)]).increment(by: Int64(count))
            logger.warning(
                "the root's tables did not fit the servers there are and were mended",
                metadata: ["what": "\(name)", "count": "\(count)"])
        }
        return false
    }
}
