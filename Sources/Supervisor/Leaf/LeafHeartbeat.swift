import CellProtocol
import FoundationEssentials
import Logging
import MessageBus
import Primitives
import ServerLifecycle

/// Tells the parent every second how the cell is: unnumbered, never stored, worthless when late.
struct LeafHeartbeat: Sendable {
    /// Seconds after which a heartbeat says nothing any more.
    static let lifetime: TimeInterval = 10

    let parts: LeafParts
    let version: String

    func run() async {
        var last = CellPulse(newestSequence: 0, conductorsUp: 0, hostsUp: 0, hosts: 0)
        repeat {
            let start = parts.wallClock.now()
            var isDatabaseUp = true
            do throws(CellStoreError) {
                last = try await parts.store.pulse()
            } catch {
                isDatabaseUp = false
                parts.logger.warning("the database is not used for now", metadata: ["error": "\(error)"])
            }
            let now = parts.wallClock.now()
            await publish(
                CellHeartbeat(
                    cell: parts.cell, version: version, sentAt: now, newestSequence: last.newestSequence,
                    databaseMilliseconds: now.timeIntervalSince(start) * 1000, isDatabaseUp: isDatabaseUp,
                    conductorsUp: last.conductorsUp, hostsUp: last.hostsUp, hosts: last.hosts))
        } while await parts.pause(parts.settings.heartbeatInterval)
    }

    private func publish(_ heartbeat: CellHeartbeat) async {
        do {
            let envelope = Envelope(
                messageID: parts.ids.uuid(), requestID: "-", deadline: heartbeat.sentAt + Self.lifetime,
                sender: parts.sender, kind: CellHeartbeat.kind, body: try JSONEncoder().encode(heartbeat))
            try await parts.publish(envelope, kind: "cell.heartbeat")
        } catch {
            parts.logger.debug("heartbeat was not sent", metadata: ["error": "\(error)"])
        }
    }
}
