import CellProtocol
import Logging
import MessageBus

/// What every cell with a parent does towards it: answers the cell protocol, publishes its events in order, and tells how
/// it is. It speaks on its own virtual host only and never calls upward.
struct ChildRole: Sendable {
    let parts: CellParts
    /// Of the program, for the parent.
    let version: String
    let answer: @Sendable (Envelope) async -> Envelope?

    /// Until cancelled.
    func run() async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                await parts.persistently("calls can't be received") {
                    try await parts.bus.declare(.cell)
                    try await parts.bus.serve(
                        queue: CellTopology.supervisorQueue, concurrency: parts.settings.concurrency
                    ) { await answer($0) }
                }
            }
            group.addTask { await EventPublisher(parts: parts).run() }
            group.addTask { await HeartbeatTeller(parts: parts, version: version).run() }
            await group.waitForAll()
        }
    }
}
