package import CloudModel
package import Logging
package import MessageBus
package import Primitives
package import ServerLifecycle
import ServiceLifecycle

/// Runs and resumes the sagas of a leaf cell, and is the only one who commands its compute agents.
package struct ConductorService: Service {
    private let cell: CellPath
    private let store: any CellStore
    private let bus: any MessageBus
    private let clock: any Clock<Duration>
    private let wallClock: any WallClock
    private let ids: any IDSource
    private let settings: ConductorSettings
    private let logger: Logger

    /// - Parameters:
    ///   - cell: the leaf that it serves.
    ///   - bus: a connection to the leaf's own virtual host.
    package init(
        cell: CellPath, store: any CellStore, bus: any MessageBus, clock: any Clock<Duration>,
        wallClock: any WallClock, ids: any IDSource, settings: ConductorSettings = ConductorSettings(), logger: Logger
    ) {
        self.cell = cell
        self.store = store
        self.bus = bus
        self.clock = clock
        self.wallClock = wallClock
        self.ids = ids
        self.settings = settings
        self.logger = logger
    }

    /// Works until cancelled or asked to stop gracefully; goes on by itself when database or broker come back.
    package func run() async throws {
        try await cancelWhenGracefulShutdown {
            try await bus.declare(.cell)
        }
    }
}
