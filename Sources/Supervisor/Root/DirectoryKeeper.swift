import FoundationEssentials
import Logging
import Metrics
import Primitives
import ServerLifecycle

/// Keeps what must stay true of the root's own tables: servers without a cell are in the directory, and what counts
/// against quotas is what there is.
struct DirectoryKeeper: Sendable {
    /// Time between two proofs of the quotas' counts (seconds).
    static let proofInterval: TimeInterval = 30

    let store: any RootStore
    let wallClock: any WallClock
    let logger: Logger
    private let provedAt = Mutexed(Date.distantPast)
    private let mended = Counter(label: "cellwright_quota_uses_mended")

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
        return false
    }
}
