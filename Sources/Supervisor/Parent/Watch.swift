import FoundationEssentials
import Logging
import Primitives
import ServerLifecycle

/// The watch over a cell's children: one of its supervisors applies their events and judges how they are; the others
/// know it from the directory, as the API does. Who has it renews it well before it ends; when it dies, another takes it.
struct Watch: Sendable {
    /// How long it stays with a supervisor that is silent.
    static let duration: Duration = .seconds(3)
    /// How often it is asked for, or renewed.
    static let interval: Duration = .milliseconds(500)

    let owner: String
    let store: any ParentStore
    let clock: any Clock<Duration>
    let wallClock: any WallClock
    let logger: Logger
    private let turns = Mutexed(0)
    private let heldUntil = Mutexed(Date.distantPast)

    init(
        owner: String, store: any ParentStore, clock: any Clock<Duration>, wallClock: any WallClock, logger: Logger
    ) {
        self.owner = owner
        self.store = store
        self.clock = clock
        self.wallClock = wallClock
        self.logger = logger
    }

    /// By this supervisor's own clock, which began to count before the database's did.
    var isHeld: Bool { wallClock.now() < heldUntil.withLock { $0 } }

    /// Counts how often it was taken. Whoever worked under it when it was another has not been heard in between, and
    /// begins anew.
    var turn: Int { turns.withLock { $0 } }

    /// Keeps it, or waits for it, until cancelled; then it is free for the others at once.
    func keep(_ onChange: @Sendable () -> Void) async {
        var wasHeld = false
        var lastTurn = turn
        repeat {
            await take()
            if isHeld != wasHeld || turn != lastTurn {
                wasHeld = isHeld
                lastTurn = turn
                logger.notice("watch over the cells below", metadata: ["supervisor": "\(owner)", "held": "\(wasHeld)"])
                onChange()
            }
        } while await pause()
    }

    /// - Throws: what the store does; then it ends by itself.
    func release() async throws {
        heldUntil.withLock { $0 = .distantPast }
        try await store.releaseWatch(owner: owner)
    }

    private func take() async {
        let start = wallClock.now()
        do {
            let isTaken = try await store.takeWatch(owner: owner, for: Self.duration)
            if isTaken, !isHeld { turns.withLock { $0 += 1 } }
            heldUntil.withLock { $0 = isTaken ? start + Self.duration.timeInterval : .distantPast }
        } catch {
            if Task.isCancelled { return }
            logger.warning("the watch can't be renewed", metadata: ["error": "\(ErrorChain(error))"])
        }
    }

    private func pause() async -> Bool {
        do {
            try await clock.sleep(for: Self.interval)
            return true
        } catch {
            return false
        }
    }
}
