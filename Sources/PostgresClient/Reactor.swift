import CLibpq
import Glibc
import Synchronization

/// What the reactor tells about a socket. Called on the reactor's thread.
protocol ReactorHandler: AnyObject, Sendable {
    func socketIsReady()
}

/// One thread that waits for all sockets and deadlines of a pool. It starts with the first connection and ends with
/// `stop()`. Callers send for themselves; the thread only receives, finishes sends that did not fit, and watches the time.
final class Reactor: Sendable {
    typealias Token = UInt64

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

    fileprivate struct Timer {
        let deadline: MonotonicTime
        let action: @Sendable () -> Void
    }

    fileprivate struct State {
        var handlers: [Token: any ReactorHandler] = [:]
        var timers: [Token: Timer] = [:]
        /// When the thread wakes without being told. Removing a timer leaves it: one idle turn costs less than a wake.
        var wakesAt = MonotonicTime.distantFuture
        var nextToken: Token = 1
        var stopActions: [Token: @Sendable () -> Void] = [:]
        var started = false
        var stopped = false
    }

    private static let eventsPerTurn = 16
    fileprivate static let longestWaitMilliseconds: Int32 = 3_600_000
    private static let wakeToken: Token = 0

    private let epoll: Int32
    private let wakeup: Int32
    private let state = Mutex(State())

    init() {
        epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
        wakeup = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
        var event = epoll_event()
        event.events = EPOLLIN.rawValue
        event.data.u64 = Self.wakeToken
        epoll_ctl(epoll, EPOLL_CTL_ADD, wakeup, &event)
    }

    deinit {
        close(epoll)
        close(wakeup)
    }

    /// Keeps `handler` until `remove`. False when the reactor can't run: stopped, or out of threads or descriptors.
    func add(_ handler: any ReactorHandler) -> Token? {
        guard epoll >= 0, wakeup >= 0 else { return nil }
        return state.withLock { state -> Token? in
            guard !state.stopped, startThread(&state) else { return nil }
            let token = state.takeToken()
            state.handlers[token] = handler
            return token
        }
    }

    /// Sets what `descriptor` is watched for. A closed descriptor leaves by itself.
    func watch(_ descriptor: Int32, _ token: Token, _ interest: Interest) {
        var event = epoll_event()
        event.events = interest.mask
        event.data.u64 = token
        if epoll_ctl(epoll, EPOLL_CTL_MOD, descriptor, &event) != 0, errno == ENOENT {
            epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event)
        }
    }

    func remove(_ token: Token) { state.withLock { _ = $0.handlers.removeValue(forKey: token) } }

    /// Calls `action` on the reactor's thread when `deadline` has come; `nil` when the reactor can't run, and never will.
    func schedule(_ deadline: MonotonicTime, _ action: @escaping @Sendable () -> Void) -> Token? {
        let (token, mustWake) = state.withLock { state -> (Token?, Bool) in
            guard !state.stopped, startThread(&state) else { return (nil, false) }
            let token = state.takeToken()
            state.timers[token] = Timer(deadline: deadline, action: action)
            guard deadline < state.wakesAt else { return (token, false) }
            state.wakesAt = deadline
            return (token, true)
        }
        if mustWake { wake() }
        return token
    }

    func cancelTimer(_ token: Token) { state.withLock { _ = $0.timers.removeValue(forKey: token) } }

    /// Calls `action` once when the reactor stops; `nil` when it has.
    func atStop(_ action: @escaping @Sendable () -> Void) -> Token? {
        state.withLock { state -> Token? in
            guard !state.stopped else { return nil }
            let token = state.takeToken()
            state.stopActions[token] = action
            return token
        }
    }

    func cancelStopAction(_ token: Token) { state.withLock { _ = $0.stopActions.removeValue(forKey: token) } }

    /// Ends the thread, and calls the actions for it; whoever comes later is told that it has stopped. Handlers and timers
    /// are let go without being called.
    func stop() {
        let (actions, dropped) = state.withLock { state in
            // In one step, so that no action comes between those that are called and the end.
            state.stopped = true
            defer {
                state.stopActions = [:]
                state.handlers = [:]
                state.timers = [:]
            }
            return (
                Array(state.stopActions.values), (Array(state.handlers.values), state.timers.values.map(\.action))
            )
        }
        for action in actions { action() }
        withExtendedLifetime(dropped) {}
        wake()
    }

    /// Timers that have not gone off.
    var timerCount: Int { state.withLock { $0.timers.count } }

    private func startThread(_ state: inout State) -> Bool {
        if !state.started { state.started = BlockingCall.start { self.run() } }
        return state.started
    }

    private func wake() {
        var one: UInt64 = 1
        _ = write(wakeup, &one, MemoryLayout<UInt64>.size)
    }

    private func run() {
        var events = [epoll_event](repeating: epoll_event(), count: Self.eventsPerTurn)
        while let timeout = fireTimers() {
            let count = epoll_wait(epoll, &events, Int32(Self.eventsPerTurn), timeout)
            guard count > 0 else { continue }
            for event in events.prefix(Int(count)) {
                let token = event.data.u64
                if token == Self.wakeToken {
                    var counter: UInt64 = 0
                    _ = read(wakeup, &counter, MemoryLayout<UInt64>.size)
                } else {
                    state.withLock { $0.handlers[token] }?.socketIsReady()
                }
            }
        }
    }

    /// Runs what is due. Answers how long to wait for sockets, in milliseconds (-1: for ever), `nil` at the end.
    private func fireTimers() -> Int32? {
        while true {
            let now = MonotonicTime.now()
            let (due, timeout) = state.withLock { state in state.dueTimers(now) }
            for action in due { action() }
            if due.isEmpty { return timeout }
        }
    }
}

extension Reactor.State {
    fileprivate mutating func takeToken() -> Reactor.Token {
        defer { nextToken += 1 }
        return nextToken
    }

    fileprivate mutating func dueTimers(_ now: MonotonicTime) -> ([@Sendable () -> Void], Int32?) {
        if stopped { return ([], nil) }
        var due: [(deadline: MonotonicTime, action: @Sendable () -> Void)] = []
        if wakesAt <= now {
            wakesAt = .distantFuture
            for (token, timer) in timers {
                if timer.deadline <= now {
                    due.append((timer.deadline, timer.action))
                    timers[token] = nil
                } else {
                    wakesAt = min(wakesAt, timer.deadline)
                }
            }
            due.sort { $0.deadline < $1.deadline }
        }
        if wakesAt == .distantFuture { return (due.map(\.action), -1) }
        return (due.map(\.action), wakesAt.milliseconds(since: now, limit: Reactor.longestWaitMilliseconds))
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
