import CellProtocol
import CloudModel
import FoundationEssentials
import MessageBus
import ServerLifecycle

/// What a conductor remembers of the hosts that speak to it. Only a cache: the database has the truth.
struct HostPresence {
    /// Since when the broker could be reached: silence before that means nothing.
    private(set) var connectedSince: Date?
    private var inventories: [HostName: HostInventory] = [:]
    private var names: [String: HostName] = [:]

    mutating func note(isConnected: Bool, now: Date) {
        connectedSince = isConnected ? connectedSince ?? now : nil
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
