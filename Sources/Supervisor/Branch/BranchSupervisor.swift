package import CellProtocol
package import CloudModel
import FoundationEssentials
package import Logging
package import MessageBus
package import Primitives
package import ServerLifecycle
import ServiceKit
import ServiceLifecycle

/// Owns a branch cell: a parent of the cells below it, and a child of the one above.
///
/// It passes requests down and news up, and knows how its children are. It places nothing and holds no server itself.
/// Any number may serve one branch.
package struct BranchSupervisor: Service {
    private let parts: CellParts
    private let version: String
    private let store: any BranchStore
    private let router: ChildRouter
    private let parent: ParentRole

    /// - Parameters:
    ///   - cell: the branch that it serves.
    ///   - name: of this supervisor among those of the cell; the same after a restart, so that it goes on at once.
    ///   - version: of the program, for the parent.
    ///   - bus: a connection to the branch's own virtual host.
    ///   - router: opens connections to the children's.
    ///   - settings: towards its parent.
    ///   - parentSettings: towards its children.
    package init(
        cell: CellPath, name: String, version: String, store: any BranchStore, bus: any MessageBus,
        router: ChildRouter, clock: any Clock<Duration>, wallClock: any WallClock, ids: any IDSource,
        settings: ChildSettings = .branch, parentSettings: ParentSettings = ParentSettings(), logger: Logger
    ) {
        parts = CellParts(
            cell: cell, name: name, sender: "supervisor@\(cell)", store: store, bus: bus, clock: clock,
            wallClock: wallClock, ids: ids, settings: settings, logger: logger)
        self.version = version
        self.store = store
        self.router = router
        // Nothing waits here for a child to come back: what waits does so at the root.
        parent = ParentRole(
            name: name, store: store, router: router, clock: clock, wallClock: wallClock, ids: ids,
            settings: parentSettings, logger: logger, onUp: {})
    }

    /// Serves until cancelled or asked to stop gracefully; goes on by itself when database or brokers come back.
    package func run() async throws {
        let responder = BranchResponder(parts: parts, store: store, router: router)
        let child = ChildRole(parts: parts, version: version) { await responder.answer($0) }
        parts.logger.notice(
            "branch supervisor starts", metadata: ["cell": "\(parts.cell)", "supervisor": "\(parts.name)"])
        try await runUntilShutdown {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { await child.run() }
                group.addTask { try await parent.run() }
                group.addTask {
                    for await change in store.changes() {
                        if change == .health { parent.lookAtHealth() } else { parent.look() }
                    }
                }
                group.addTask { await BranchPruner(parts: parts, store: store).run() }
                defer { group.cancelAll() }
                try await group.next()
            }
        }
        await parent.handOver()
    }
}
