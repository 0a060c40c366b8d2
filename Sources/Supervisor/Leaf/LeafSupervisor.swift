import CellProtocol
package import CloudModel
import FoundationEssentials
package import Logging
package import MessageBus
package import Primitives
package import ServerLifecycle
import ServiceKit
import ServiceLifecycle

/// Owns a leaf cell: answers the cell protocol, publishes its events, tells its parent every second how it is.
///
/// Any number may serve one cell: calls go to whichever is free, and what only one may do is a duty with a lease.
package struct LeafSupervisor: Service {
    private let cell: CellPath
    private let name: String
    private let version: String
    private let hosts: [HostName]
    private let store: any CellStore
    private let bus: any MessageBus
    private let clock: any Clock<Duration>
    private let wallClock: any WallClock
    private let ids: any IDSource
    private let settings: ChildSettings
    private let logger: Logger

    /// - Parameters:
    ///   - cell: the leaf that it serves.
    ///   - name: of this supervisor among those of the cell; the same after a restart, so that it goes on at once.
    ///   - version: of the program, for the parent.
    ///   - hosts: those that the deploy tool has made, heard of or not: their queues are declared at start.
    ///   - bus: a connection to the leaf's own virtual host.
    package init(
        cell: CellPath, name: String, version: String, hosts: [HostName], store: any CellStore, bus: any MessageBus,
        clock: any Clock<Duration>, wallClock: any WallClock, ids: any IDSource,
        settings: ChildSettings = ChildSettings(), logger: Logger
    ) {
        self.cell = cell
        self.name = name
        self.version = version
        self.hosts = hosts
        self.store = store
        self.bus = bus
        self.clock = clock
        self.wallClock = wallClock
        self.ids = ids
        self.settings = settings
        self.logger = logger
    }

    /// Serves until cancelled or asked to stop gracefully; goes on by itself when database or broker come back.
    package func run() async throws {
        let parts = CellParts(
            cell: cell, name: name, sender: "supervisor@\(cell)", store: store, bus: bus, clock: clock,
            wallClock: wallClock, ids: ids, settings: settings, logger: logger)
        let questions = HostQuestions(parts: parts)
        let responder = LeafResponder(parts: parts, store: store, questions: questions)
        let child = ChildRole(parts: parts, version: version) { await responder.answer($0) }
        logger.notice("leaf supervisor starts", metadata: ["cell": "\(cell)", "supervisor": "\(name)"])
        try await runUntilShutdown {
            await withTaskGroup(of: Void.self) { group in
                group.addTask {
                    await parts.persistently("hosts' queues can't be made") { try await declareHosts() }
                }
                group.addTask { await child.run() }
                group.addTask { await questions.run() }
                group.addTask { await LeafPruner(parts: parts, store: store).run() }
                group.addTask { await LeafReconciler(parts: parts, store: store).run() }
                await group.waitForAll()
            }
        }
    }

    /// Agents may declare nothing, so their queues are made for them; a host that joins later gets its queue from the
    /// conductor that hears it first.
    private func declareHosts() async throws {
        var names = Set(hosts)
        names.formUnion(try await store.hosts().map(\.name))
        for name in names.sorted() { try await bus.declare(.host(name.text)) }
        // Declared once: the transport declares them again after a reconnect.
        while true { try await clock.sleep(for: .seconds(24 * 3600)) }
    }
}
