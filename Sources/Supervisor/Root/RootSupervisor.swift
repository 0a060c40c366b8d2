package import CellProtocol
import CloudModel
import FoundationEssentials
package import Logging
package import Primitives
package import ServerLifecycle
import ServiceKit
import ServiceLifecycle

/// The root cell's supervisor: schedules servers onto hosts of all cells, sends them and other accepted requests to their
/// cells until these acknowledge, applies the cells' events to the directory, and keeps each cell's health.
///
/// Any number may serve one root: builds and commands go to whoever takes them first, the children are watched by one.
///
/// Everything it works from is in the root's database; a nudge only makes it look sooner than its timer would.
package struct RootSupervisor: Service {
    /// Without a nudge, every loop looks this often.
    package static let pollInterval: Duration = .seconds(2)

    private let store: any RootStore
    private let scheduler: BuildScheduler
    private let dispatcher: CommandDispatcher
    private let clock: any Clock<Duration>
    private let logger: Logger
    private let buildNudge = Nudge()
    private let commandNudge = Nudge()
    private let keeperNudge = Nudge()
    private let keeper: DirectoryKeeper
    private let parent: ParentRole

    /// - Parameter name: of this supervisor among the root's; the same after a restart, so that it goes on at once.
    package init(
        name: String, store: any RootStore, router: ChildRouter, clock: any Clock<Duration>, wallClock: any WallClock,
        ids: any IDSource, logger: Logger
    ) {
        self.store = store
        self.clock = clock
        self.logger = logger
        scheduler = BuildScheduler(
            store: store, router: router, wallClock: wallClock, ids: ids, logger: logger)
        keeper = DirectoryKeeper(store: store, wallClock: wallClock, logger: logger)
        dispatcher = CommandDispatcher(store: store, router: router, wallClock: wallClock, logger: logger)
        parent = ParentRole(
            name: name, store: store, router: router, clock: clock, wallClock: wallClock, ids: ids,
            settings: ParentSettings(), logger: logger,
            onUp: { [commandNudge, buildNudge] in
                commandNudge.signal()
                buildNudge.signal()
            })
    }

    package func run() async throws {
        try await runUntilShutdown {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { await self.listen() }
                group.addTask { try await self.parent.run() }
                group.addTask { try await self.loop("scheduler", self.buildNudge) { try await self.scheduler.turn() } }
                group.addTask { await self.scheduler.sendPlaced() }
                group.addTask { await self.dispatcher.sendTaken() }
                group.addTask { try await self.loop("directory", self.keeperNudge) { try await self.keeper.turn() } }
                group.addTask {
                    try await self.loop("commands", self.commandNudge) { try await self.dispatcher.turn() }
                }
                try await group.next()
                group.cancelAll()
            }
        }
        await parent.handOver()
    }

    private func listen() async {
        for await change in store.changes() {
            switch change {
            case .buildRequests: buildNudge.signal()
            case .commands: commandNudge.signal()
            case .health: parent.lookAtHealth()
            case .cells:
                parent.look()
                keeperNudge.signal()
            case .unknown:
                parent.look()
                for nudge in [buildNudge, commandNudge, keeperNudge] { nudge.signal() }
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
}
