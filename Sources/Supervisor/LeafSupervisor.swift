package import CellProtocol
package import CloudModel
package import FoundationEssentials
package import Logging
package import MessageBus
package import Primitives
package import ServerLifecycle
import ServiceLifecycle

/// Owns a leaf cell: answers the cell protocol, publishes its events, tells its parent every second how it is.
///
/// Any number may serve one cell; singleton work goes to one of them by a lease.
package struct LeafSupervisor: Service {
    /// Renders a server for the API: `ServerViews.renderServer`.
    package typealias Render = @Sendable (Instance, ServerViewContext) -> Data

    private let cell: CellPath
    private let version: String
    private let hosts: [HostName]
    private let store: any CellStore
    private let bus: any MessageBus
    private let clock: any Clock<Duration>
    private let wallClock: any WallClock
    private let ids: any IDSource
    private let settings: LeafSettings
    private let logger: Logger
    private let render: Render

    /// - Parameters:
    ///   - cell: the leaf that it serves.
    ///   - version: of the program, for the parent.
    ///   - hosts: those that the deploy tool has made, spoken or not: their queues are declared at start.
    ///   - bus: a connection to the leaf's own virtual host.
    package init(
        cell: CellPath, version: String, hosts: [HostName], store: any CellStore, bus: any MessageBus,
        clock: any Clock<Duration>, wallClock: any WallClock, ids: any IDSource,
        settings: LeafSettings = LeafSettings(), logger: Logger, render: @escaping Render
    ) {
        self.cell = cell
        self.version = version
        self.hosts = hosts
        self.store = store
        self.bus = bus
        self.clock = clock
        self.wallClock = wallClock
        self.ids = ids
        self.settings = settings
        self.logger = logger
        self.render = render
    }

    /// Serves until cancelled or asked to stop gracefully; goes on by itself when database or broker come back.
    package func run() async throws {
        try await cancelWhenGracefulShutdown {
            try await bus.declare(.cell)
        }
    }
}
