import CLibpq
import Glibc
import Synchronization

/// A pool's part of the thread that waits for its sockets and deadlines, until `stop()`.
final class Reactor: Sendable {
    typealias Token = PostgresThread.Token

    enum Interest {
        case read, write, readWrite

        var mask: UInt32 {
            switch self {
            case .read: EPOLLIN.rawValue | EPOLLRDHUP.rawValue
            case .write: EPOLLOUT.rawValue
            case .readWrite: EPOLLIN.rawValue | EPOLLRDHUP.rawValue | EPOLLOUT.rawValue
            }
        }
    }

    private struct Stops {
        var actions: [Token: @Sendable () -> Void] = [:]
        var nextToken: Token = 1
        var isStopped = false
    }

    private let thread: PostgresThread
    private let pool: PostgresThread.PoolNumber
    private let stops = Mutex(Stops())

    init(_ thread: PostgresThread = PostgresThread()) {
        self.thread = thread
        pool = thread.join()
    }

    /// Keeps `handler` until `remove`. Nil when the thread can't call it: stopped, or out of threads or descriptors.
    func add(_ handler: any ReactorHandler) -> Token? { thread.add(handler, of: pool) }

    /// Sets what `descriptor` is watched for. A closed descriptor leaves by itself.
    func watch(_ descriptor: Int32, _ token: Token, _ interest: Interest) {
        thread.watch(descriptor, token, events: interest.mask)
    }

    func remove(_ token: Token) { thread.remove(token) }

    /// Calls `action` on the thread when `deadline` has come; `nil` when the thread can't, and never will.
    func schedule(_ deadline: MonotonicTime, _ action: @escaping @Sendable () -> Void) -> Token? {
        thread.schedule(deadline, of: pool, action)
    }

    func cancelTimer(_ token: Token) { thread.cancelTimer(token) }

    /// Calls `action` once when the reactor stops; `nil` when it has.
    func atStop(_ action: @escaping @Sendable () -> Void) -> Token? {
        stops.withLock { stops -> Token? in
            guard !stops.isStopped else { return nil }
            defer { stops.nextToken += 1 }
            stops.actions[stops.nextToken] = action
            return stops.nextToken
        }
    }

    func cancelStopAction(_ token: Token) { stops.withLock { _ = $0.actions.removeValue(forKey: token) } }

    /// Leaves the thread, and calls the actions for it; whoever comes later is told that it has stopped. Handlers and
    /// timers are let go without being called.
    func stop() {
        // In one step, so that no action comes between those that are called and the end.
        let actions = stops.withLock { stops in
            stops.isStopped = true
            defer { stops.actions = [:] }
            return Array(stops.actions.values)
        }
        thread.leave(pool)
        for action in actions { action() }
    }
}

extension Reactor {
    /// Waits for `duration`; ends early when the task is cancelled or the reactor stops.
    func sleep(_ duration: Duration) async {
        let latch = Latch()
        guard let stopAction = atStop({ latch.open() }) else { return }
        defer { cancelStopAction(stopAction) }
        guard let timer = schedule(MonotonicTime.now().advanced(by: duration), { latch.open() }) else { return }
        await withTaskCancellationHandler {
            await latch.wait()
        } onCancel: {
            latch.open()
        }
        cancelTimer(timer)
    }
}

/// Opens once; whoever waits goes on then.
private final class Latch: Sendable {
    private enum State {
        case closed, open
        case waiting(CheckedContinuation<Void, Never>)
    }

    private let state = Mutex(State.closed)

    func wait() async {
        await withCheckedContinuation { continuation in
            let open = state.withLock { state in
                if case .open = state { return true }
                state = .waiting(continuation)
                return false
            }
            if open { continuation.resume() }
        }
    }

    func open() {
        let waiter = state.withLock { state in
            defer { state = .open }
            guard case .waiting(let continuation) = state else { return CheckedContinuation<Void, Never>?.none }
            return continuation
        }
        waiter?.resume()
    }
}
