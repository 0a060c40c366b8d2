import CellProtocol
import CloudModel
import FoundationEssentials
import Logging
import MessageBus
import Primitives
import ServerLifecycle
import ServiceKit

/// What the parts of a supervisor share that a cell with a parent needs, leaf or branch.
struct CellParts: Sendable {
    let cell: CellPath
    let name: String
    let sender: String
    let store: any ChildStore
    let bus: any MessageBus
    let clock: any Clock<Duration>
    let wallClock: any WallClock
    let ids: any IDSource
    let settings: ChildSettings
    let logger: Logger

    /// Does it again, with a growing wait, until cancelled.
    func persistently(_ complaint: Logger.Message, _ body: () async throws -> Void) async {
        await RetryLoop(clock: clock, wallClock: wallClock, ids: ids, logger: logger).run(complaint, body)
    }

    /// False when cancelled.
    func pause(_ duration: Duration) async -> Bool {
        do {
            try await clock.sleep(for: duration)
            return true
        } catch {
            return false
        }
    }

    func publish(_ envelope: Envelope, kind: String) async throws(BusError) {
        try await bus.publish(
            envelope, to: CellTopology.eventAddress(kind: kind), mandatory: false, timeout: settings.publishTimeout)
    }
}
