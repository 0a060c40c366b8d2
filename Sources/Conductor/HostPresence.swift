import CellProtocol
import CloudModel
import FoundationEssentials
import MessageBus
import ServerLifecycle

/// What a conductor remembers of the hosts that speak to it. Only a cache: the database has the truth.
struct HostPresence {
    /// Who has not looked for so long was frozen, or had no database, and missed what was said (seconds).
    static let attention: TimeInterval = 6

    /// Since when the broker could be reached, and was listened to: silence before that means nothing.
    private(set) var connectedSince: Date?
    private var lookedAt: Date?
    private var inventories: [HostName: HostInventory] = [:]
    private var names: [String: HostName] = [:]

    /// - Returns: whether hosts can be heard again that could not: what was sent to them meanwhile may be lost.
    mutating func note(isConnected: Bool, now: Date) -> Bool {
        let wasAway = lookedAt.map { now.timeIntervalSince($0) > Self.attention } ?? false
        let isFirst = lookedAt == nil
        let before = connectedSince
        lookedAt = now
        connectedSince = isConnected ? wasAway ? now : before ?? now : nil
        return !isFirst && isConnected && connectedSince != before
    }

    /// Whether a host that did not speak for `timeout` could have been heard.
    func isSilenceMeaningful(now: Date, timeout: Duration) -> Bool {
        guard let connectedSince else { return false }
        return now.timeIntervalSince(connectedSince) >= timeout.timeInterval
    }

    func host(withKey key: String) -> HostName? { names[key] }

    /// Whether this heartbeat says no more than that the host lives.
    mutating func isPlain(_ heartbeat: AgentHeartbeat) -> Bool {
        names[CellTopology.hostKey(heartbeat.host.text)] = heartbeat.host
        return heartbeat.inventory == nil || heartbeat.inventory == inventories[heartbeat.host]
    }

    mutating func stored(_ sighting: HostSighting) {
        if let inventory = sighting.inventory { inventories[sighting.name] = inventory }
    }
}
