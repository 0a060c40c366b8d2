import FoundationEssentials
import Logging
import Primitives
import ServerLifecycle

/// Forgets what was kept long enough: published events, deleted servers. One supervisor at a time does.
struct BranchPruner: Sendable {
    /// Rows that go in one transaction.
    static let batch = 500

    let parts: CellParts
    let store: any BranchStore

    func run() async {
        while await parts.pause(parts.settings.pruneInterval) {
            do {
                try await prune()
            } catch {
                parts.logger.warning("old rows stay for now", metadata: ["error": "\(ErrorChain(error))"])
            }
        }
    }

    private func prune() async throws {
        guard try await store.takeDuty(.pruner, owner: parts.name, for: parts.settings.pruneInterval) else { return }
        let now = parts.wallClock.now()
        let eventBound = now - parts.settings.eventRetention.timeInterval
        while try await store.pruneEvents(before: eventBound, limit: Self.batch) == Self.batch {}
        let serverBound = now - parts.settings.deletedRetention.timeInterval
        while try await store.pruneServers(deletedBefore: serverBound, limit: Self.batch) == Self.batch {}
    }
}
