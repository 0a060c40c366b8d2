package import CellProtocol
import CloudModel
import FoundationEssentials
package import Logging
package import Primitives
package import ServerLifecycle
import ServiceLifecycle

/// The root cell's supervisor: schedules servers onto hosts of all cells, sends them and other accepted requests to their
/// cells until these acknowledge, applies the cells' events to the directory, and keeps each cell's health.
///
/// Everything it works from is in the root's database; a nudge only makes it look sooner than its timer would.
package struct RootSupervisor: Service {
    /// Without a nudge, every loop looks this often.
    package static let pollInterval: Duration = .seconds(2)

    private let store: any RootStore
    private let router: ChildRouter
    private let scheduler: BuildScheduler
    private let dispatcher: CommandDispatcher
    private let clock: any Clock<Duration>
    private let wallClock: any WallClock
    private let ids: any IDSource
    private let logger: Logger
    private let buildNudge = Nudge()
    private let commandNudge = Nudge()
    private let cellNudge = Nudge()
    private let keeperNudge = Nudge()
    private let keeper: DirectoryKeeper

    package init(
        store: any RootStore, router: ChildRouter, clock: any Clock<Duration>, wallClock: any WallClock,
        ids: any IDSource, logger: Logger
    ) {
        self.store = store
        self.router = router
        self.clock = clock
        self.wallClock = wallClock
        self.ids = ids
        self.logger = logger
        scheduler = BuildScheduler(store: store, router: router, wallClock: wallClock, logger: logger)
        keeper = DirectoryKeeper(store: store, wallClock: wallClock, logger: logger)
        dispatcher = CommandDispatcher(store: store, router: router, wallClock: wallClock, logger: logger)
    }

    package func run() async throws {
        try await cancelWhenGracefulShutdown {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { await self.listen() }
                group.addTask { try await self.followCells() }
                group.addTask { try await self.loop("scheduler", self.buildNudge) { try await self.scheduler.turn() } }
                group.addTask { await self.scheduler.sendPlaced() }
                group.addTask { await self.dispatcher.sendTaken() }
                group.addTask { try await self.loop("directory", self.keeperNudge) { try await self.keeper.turn() } }
                group.addTask { try await self.probeCells() }
                group.addTask {
                    try await self.loop("commands", self.commandNudge) { try await self.dispatcher.turn() }
                }
                try await group.next()
                group.cancelAll()
            }
        }
    }

    private func listen() async {
        for await change in store.changes() {
            switch change {
            case .buildRequests: buildNudge.signal()
            case .commands: commandNudge.signal()
            case .cells: for nudge in [cellNudge, keeperNudge] { nudge.signal() }
            case .unknown: for nudge in [buildNudge, commandNudge, cellNudge, keeperNudge] { nudge.signal() }
            }
        }
    }

    /// Runs `turn` whenever nudged and at least every ``pollInterval``; again at once while it says that there is more.
    private func loop(_ name: String, _ nudge: Nudge, turn: @Sendable () async throws -> Bool) async throws {
        while !Task.isCancelled {
            do {
                while try await turn() { try Task.checkCancellation() }
            } catch is CancellationError {
                return
            } catch {
                logger.warning("will be tried again", metadata: ["loop": "\(name)", "error": "\(ErrorChain(error))"])
            }
            try await nudge.wait(atMost: Self.pollInterval, clock: clock)
        }
    }

    // MARK: Cells

    /// Cells that do not answer this process are tried by nobody else.
    private func probeCells() async throws {
        while !Task.isCancelled {
            await router.probe()
            try await clock.sleep(for: .milliseconds(250))
        }
    }

    /// Watches every mapped cell; a new mapping is watched at once, a removed one no more.
    private func followCells() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            var watched: [CellPath: CellMapping.Endpoint] = [:]
            var watchers: [CellPath: ChildWatcher] = [:]
            var stops: [CellPath: Nudge] = [:]
            while !Task.isCancelled {
                do {
                    let mappings = try await store.cells()
                    await router.update(mappings)
                    let wanted = Dictionary(uniqueKeysWithValues: mappings.map { ($0.path, $0.bus) })
                    for (path, endpoint) in watched where wanted[path] != endpoint {
                        stops.removeValue(forKey: path)?.signal()
                        watched[path] = nil
                        watchers[path] = nil
                    }
                    for mapping in mappings where watched[mapping.path] == nil {
                        guard let watcher = watcher(for: mapping) else { continue }
                        watched[mapping.path] = mapping.bus
                        watchers[mapping.path] = watcher
                        let stop = Nudge()
                        stops[mapping.path] = stop
                        group.addTask { try await self.watch(watcher, until: stop) }
                    }
                    for mapping in mappings where mapping.isResyncWanted && mapping.health != .down {
                        watchers[mapping.path]?.resync()
                    }
                } catch is CancellationError {
                    return
                } catch {
                    logger.warning("cell mappings can't be read", metadata: ["error": "\(ErrorChain(error))"])
                }
                try await cellNudge.wait(atMost: Self.pollInterval, clock: clock)
            }
        }
    }

    private func watch(_ watcher: ChildWatcher, until stop: Nudge) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await watcher.run() }
            group.addTask { await stop.wait() }
            try await group.next()
            group.cancelAll()
        }
    }

    private func watcher(for mapping: CellMapping) -> ChildWatcher? {
        guard let bus = router.bus(of: mapping.path) else { return nil }
        let view = ChildHealth.View(health: mapping.health, reason: mapping.reason)
        return ChildWatcher(
            cell: mapping.path, bus: bus, store: store, router: router,
            health: ChildHealth(
                view: view, since: mapping.since, heartbeat: mapping.heartbeat, watchedFrom: wallClock.now()),
            lastSequence: mapping.lastSequence, clock: clock, wallClock: wallClock, ids: ids, logger: logger,
            onUp: { [commandNudge, buildNudge] in
                commandNudge.signal()
                buildNudge.signal()
            })
    }
}
