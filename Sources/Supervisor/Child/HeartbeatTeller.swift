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
    /// Seconds after which a heartbeat says nothing any more.
    static let lifetime: TimeInterval = 10
    /// A look at the database that takes longer than this counts as no answer (seconds).
    static let databaseLimit: TimeInterval = 1

    /// What the newest looks at the database came to.
    private struct Look: Sendable {
        var pulse = CellPulse(newestSequence: 0, conductorsUp: 0, hostsUp: 0, hosts: 0)
        /// When the look that goes on began; nil between two.
        var beganAt: Date?
        var seconds: TimeInterval = 0
        /// Nothing is known before the first.
        var isUp: Bool?

        /// Whether the database answers, and how long it takes; nil while nothing is known.
        func state(at now: Date) -> (isUp: Bool, seconds: TimeInterval)? {
            let waited = beganAt.map { now.timeIntervalSince($0) } ?? 0
            if waited > HeartbeatTeller.databaseLimit { return (false, waited) }
            return isUp.map { ($0, max(seconds, waited)) }
        }
    }

    let parts: CellParts
    let version: String
    private let look = Mutexed(Look())

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
            look.withLock { $0.beganAt = start }
            let outcome: CellPulse?
            do throws(CellStoreError) {
                outcome = try await parts.store.pulse()
            } catch {
                outcome = nil
                if !Task.isCancelled {
                    parts.logger.warning("the database is not used for now", metadata: ["error": "\(error)"])
                }
            }
            let seconds = parts.wallClock.now().timeIntervalSince(start)
            look.withLock { look in
                look.beganAt = nil
                look.seconds = seconds
                look.isUp = outcome != nil
                if let outcome { look.pulse = outcome }
            }
        } while await parts.pause(parts.settings.pulseInterval)
    }

    private func tell() async {
        repeat {
            let now = parts.wallClock.now()
            let look = look.withLock { $0 }
            guard let state = look.state(at: now) else { continue }
            await publish(
                CellHeartbeat(
                    cell: parts.cell, version: version, sentAt: now, newestSequence: look.pulse.newestSequence,
                    databaseMilliseconds: state.seconds * 1000, isDatabaseUp: state.isUp,
                    conductorsUp: look.pulse.conductorsUp, hostsUp: look.pulse.hostsUp, hosts: look.pulse.hosts,
                    cells: look.pulse.cells, cellsDown: look.pulse.cellsDown, supervisor: parts.name))
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
