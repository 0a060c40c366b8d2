import CellProtocol
import FoundationEssentials
import Logging
import MessageBus
import Primitives
import ServerLifecycle

/// Tells the parent twice a second how the cell is: unnumbered, never stored, worthless when late.
///
/// Looking at the database and telling are two loops, so that a database that does not answer is told of in time.
struct HeartbeatTeller: Sendable {
    /// Seconds after which a heartbeat says nothing any more: the broker drops it.
    static let lifetime = ChildHealth.silenceLimit

    let parts: CellParts
    let version: String
    private let looks = Mutexed(DatabaseLooks())

    init(parts: CellParts, version: String) {
        self.parts = parts
        self.version = version
    }

    func run() async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.watchDatabase() }
            group.addTask { await self.tell() }
            await group.waitForAll()
        }
    }

    private func watchDatabase() async {
        repeat {
            let start = parts.wallClock.now()
            looks.withLock { $0.begin(at: start) }
            var pulse: CellPulse?
            do throws(CellStoreError) {
                pulse = try await parts.store.pulse()
            } catch {
                if !Task.isCancelled {
                    parts.logger.warning("the database is not used for now", metadata: ["error": "\(error)"])
                }
            }
            let end = parts.wallClock.now()
            looks.withLock { [pulse] looks in looks.end(with: pulse, at: end) }
        } while await parts.pause(parts.settings.pulseInterval)
    }

    private func tell() async {
        repeat {
            let now = parts.wallClock.now()
            let looks = looks.withLock { $0 }
            guard let state = looks.state(at: now) else { continue }
            let pulse = looks.pulse
            await publish(
                CellHeartbeat(
                    cell: parts.cell, version: version, sentAt: now, newestSequence: pulse.newestSequence,
                    databaseMilliseconds: state.seconds * 1000, isDatabaseUp: state.isUp,
                    conductorsUp: pulse.conductorsUp, hostsUp: pulse.hostsUp, hosts: pulse.hosts,
                    cells: pulse.cells, cellsDown: pulse.cellsDown, supervisor: parts.name))
        } while await parts.pause(parts.settings.heartbeatInterval)
    }

    private func publish(_ heartbeat: CellHeartbeat) async {
        do {
            let envelope = Envelope(
                messageID: parts.ids.uuid(), requestID: "-", deadline: heartbeat.sentAt + Self.lifetime,
                sender: parts.sender, kind: CellHeartbeat.kind, body: Data(heartbeat.json))
            try await parts.publish(envelope, kind: "cell.heartbeat")
        } catch {
            parts.logger.debug("heartbeat was not sent", metadata: ["error": "\(error)"])
        }
    }
}
