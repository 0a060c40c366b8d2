import CellProtocol
import CloudModel
import FoundationEssentials
import Logging
import Primitives
import ServerLifecycle

/// What the root and every branch do for their children: keep a connection to each, apply its events to the directory,
/// know its health, and try again what does not answer. Events and health are the business of whoever has the watch.
struct ParentRole: Sendable {
    let store: any ParentStore
    let router: ChildRouter
    let clock: any Clock<Duration>
    let wallClock: any WallClock
    let ids: any IDSource
    let settings: ParentSettings
    let logger: Logger
    private let recorder: HealthRecorder
    private let cellNudge = Nudge()
    private let watch: Watch
    private let watchers = Mutexed<[CellPath: ChildWatcher]>([:])
    /// Whether a child is to be read again as soon as it is up.
    private let isResyncWanted = Mutexed(false)

    /// - Parameters:
    ///   - name: of this supervisor among those of the cell.
    ///   - onUp: told when a child came back, so that what waits for it goes out at once.
    init(
        name: String, store: any ParentStore, router: ChildRouter, clock: any Clock<Duration>, wallClock: any WallClock,
        ids: any IDSource, settings: ParentSettings, logger: Logger, onUp: @escaping @Sendable () -> Void
    ) {
        self.store = store
        self.router = router
        self.clock = clock
        self.wallClock = wallClock
        self.ids = ids
        self.settings = settings
        self.logger = logger
        watch = Watch(owner: name, store: store, clock: clock, wallClock: wallClock, logger: logger)
        recorder = HealthRecorder(clock: clock, logger: logger, onUp: onUp) {
            try await store.setHealth($0, watcher: name)
        }
    }

    /// Until cancelled.
    func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await self.followCells() }
            group.addTask { try await self.probeCells() }
            group.addTask { await self.watch.keep { self.cellNudge.signal() } }
            group.addTask { try await self.judgeCells() }
            group.addTask { try await self.recorder.run() }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    /// Lets another supervisor have the watch, at a stop in good order.
    func handOver() async {
        do {
            try await watch.release()
        } catch {
            logger.warning("the watch is free only when it ends", metadata: ["error": "\(ErrorChain(error))"])
        }
    }

    /// Mappings may have changed.
    func look() { cellNudge.signal() }

    /// Children's health was written down. Whoever has the watch did that itself, child by child: were it to read all of
    /// them again each time, a cell's work would grow with the square of its children's number.
    func lookAtHealth() { if !watch.isHeld || isResyncWanted.withLock({ $0 }) { look() } }

    /// Cells that do not answer this process are tried by nobody else.
    private func probeCells() async throws {
        while !Task.isCancelled {
            await router.probe()
            try await clock.sleep(for: .milliseconds(250))
        }
    }

    /// One look at the clock for all children: a timer of each would cost more than what it is for.
    private func judgeCells() async throws {
        try await withThrowingDiscardingTaskGroup { group in
            while !Task.isCancelled {
                for watcher in watchers.withLock({ Array($0.values) }) where watcher.judge() {
                    group.addTask { await watcher.probeBroker() }
                }
                try await clock.sleep(for: ChildHealth.judgeInterval)
            }
        }
    }

    /// Watches every mapped cell while it has the watch; a new mapping is watched at once, a removed one no more.
    private func followCells() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            var watched: [CellPath: CellMapping.Endpoint] = [:]
            var stops: [CellPath: Nudge] = [:]
            var tenure: Int?
            while !Task.isCancelled {
                do {
                    let mappings = try await store.cells()
                    await router.update(mappings)
                    let newTenure = watch.tenure
                    if newTenure != tenure {
                        // What was found out while the watch was away is not written down: everybody begins anew.
                        tenure = newTenure
                        for stop in stops.values { stop.signal() }
                        (stops, watched) = ([:], [:])
                        watchers.withLock { $0 = [:] }
                        recorder.forget()
                    }
                    let own = tenure == nil ? [] : mappings
                    let wanted = Dictionary(uniqueKeysWithValues: own.map { ($0.path, $0.bus) })
                    for (path, endpoint) in watched where wanted[path] != endpoint {
                        stops.removeValue(forKey: path)?.signal()
                        watched[path] = nil
                        watchers.withLock { $0[path] = nil }
                    }
                    for mapping in own where watched[mapping.path] == nil {
                        guard let tenure, let watcher = watcher(for: mapping, in: tenure) else { continue }
                        watched[mapping.path] = mapping.bus
                        watchers.withLock { $0[mapping.path] = watcher }
                        let stop = Nudge()
                        stops[mapping.path] = stop
                        group.addTask { try await self.watch(watcher, until: stop) }
                    }
                    isResyncWanted.withLock { $0 = own.contains(where: \.isResyncWanted) }
                    for mapping in own {
                        let watcher = watchers.withLock { $0[mapping.path] }
                        watcher?.correct(mapping.health)
                        if mapping.isResyncWanted, mapping.health != .down { watcher?.resync() }
                    }
                } catch is CancellationError {
                    return
                } catch {
                    logger.warning("cell mappings can't be read", metadata: ["error": "\(ErrorChain(error))"])
                }
                try await cellNudge.wait(atMost: settings.pollInterval, clock: clock)
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

    private func watcher(for mapping: CellMapping, in tenure: Int) -> ChildWatcher? {
        guard let bus = router.bus(of: mapping.path) else { return nil }
        let view = ChildHealth.View(health: mapping.health, reason: mapping.reason)
        return ChildWatcher(
            cell: mapping.path, watch: watch, tenure: tenure, bus: bus, store: store, router: router,
            health: ChildHealth(
                view: view, since: mapping.since, heartbeat: mapping.heartbeat, watchedFrom: wallClock.now()),
            lastSequence: mapping.lastSequence, clock: clock, wallClock: wallClock, ids: ids, settings: settings,
            recorder: recorder, logger: logger)
    }
}
