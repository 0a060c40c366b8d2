package import CloudModel
package import FoundationEssentials

/// A cell below a branch as its own parent sees it: what a branch tells upward when it changes.
package struct CellStanding: Codable, Sendable, Equatable {
    package var path: CellPath
    package var health: CellStatus.Health
    /// Why it is not up.
    package var reason: String?
    package var since: Date
    package var heartbeat: CellHeartbeat?

    package init(
        path: CellPath, health: CellStatus.Health, reason: String?, since: Date, heartbeat: CellHeartbeat?
    ) {
        self.path = path
        self.health = health
        self.reason = reason
        self.since = since
        self.heartbeat = heartbeat
    }

    package init(_ mapping: CellMapping) {
        self.init(
            path: mapping.path, health: mapping.health, reason: mapping.reason, since: mapping.since,
            heartbeat: mapping.heartbeat)
    }
}
