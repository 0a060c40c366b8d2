package import CellProtocol
package import CloudModel
package import Logging
package import MessageBus
package import Primitives
package import ServerLifecycle
import Supervisor

/// A branch cell of a laboratory: the real supervisor with its own database, over children that are simulated.
package struct SimulatedBranch: Sendable {
    let supervisor: BranchSupervisor

    /// - Parameters:
    ///   - bus: a connection to the branch's own virtual host, on which its parent speaks.
    ///   - connect: opens a connection to a child's.
    package init(
        cell: CellPath, store: any BranchStore, bus: any MessageBus,
        connect: @escaping @Sendable (CellMapping) -> any MessageBus, pace: SimulatedLeaf.Pace,
        clock: any Clock<Duration>, wallClock: any WallClock, ids: any IDSource, version: String, logger: Logger
    ) {
        let sender = "supervisor@\(cell)"
        supervisor = BranchSupervisor(
            cell: cell, name: "supervisor-1", version: version, store: store, bus: bus,
            router: ChildRouter(sender: sender, ids: ids, wallClock: wallClock, connect: connect),
            clock: clock, wallClock: wallClock, ids: ids, settings: pace.branch, parentSettings: pace.parent,
            logger: logger)
    }

    /// Until cancelled.
    package func run() async {
        // Ends with its cancellation, which is no failure.
        do { try await supervisor.run() } catch {}
    }
}
