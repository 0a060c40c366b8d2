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

    private struct Hold: Sendable {
        var until = Date.distantPast
        var tenure = 0
    }

    let owner: String
    let store: any ParentStore
    let clock: any Clock<Duration>
    let wallClock: any WallClock
    let logger: Logger
    private let hold = Mutexed(Hold())

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
    var isHeld: Bool { tenure != nil }

    /// Counts the times that it was taken; another number when it was away in between, however shortly. Nil while it is
    /// not held.
    var tenure: Int? { hold.withLock { wallClock.now() < $0.until ? $0.tenure : nil } }

    /// Keeps it, or waits for it, until cancelled; then it is free for the others at once.
    func keep(_ onChange: @Sendable () -> Void) async {
        var known: Int?
        repeat {
            await take()
            let tenure = tenure
            if tenure != known {
                known = tenure
                logger.notice(
                    "watch over the cells below",
                    metadata: ["supervisor": "\(owner)", "held": "\(tenure != nil)"])
                onChange()
            }
        } while await pause()
    }

    /// - Throws: what the store does; then it ends by itself.
    func release() async throws {
        hold.withLock { $0.until = .distantPast }
        try await store.releaseWatch(owner: owner)
    }

    private func take() async {
        let start = wallClock.now()
        do {
            let isTaken = try await store.takeWatch(owner: owner, for: Self.duration)
            hold.withLock { hold in
                if isTaken, wallClock.now() >= hold.until { hold.tenure += 1 }
                hold.until = isTaken ? start + Self.duration.timeInterval : .distantPast
            }
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
