import CLibpq
import Glibc
import Synchronization

/// What a thread tells about a socket. Called on that thread.
protocol ReactorHandler: AnyObject, Sendable {
    func socketIsReady()
}

/// One thread that waits for all sockets and deadlines of a pool, or of several that share it. It starts with their first
/// connection and ends when all of them are closed. Callers send for themselves; the thread only receives, finishes sends
/// that did not fit, and watches the time.
package final class PostgresThread: Sendable {
    /// Numbers a handler or a timer; the bits above ``poolShift`` are its pool's number.
    typealias Token = UInt64
    typealias PoolNumber = UInt64

    fileprivate struct Timer {
        let deadline: MonotonicTime
        let action: @Sendable () -> Void
    }

    fileprivate struct State {
        var handlers: [Token: any ReactorHandler] = [:]
        var timers: [Token: Timer] = [:]
        /// When the thread wakes without being told. Removing a timer leaves it: one idle turn costs less than a wake.
        var wakesAt = MonotonicTime.distantFuture
        /// Those that are open.
        var pools: Set<PoolNumber> = []
        var lastPool: PoolNumber = 0
        var nextToken: Token = 1
        var isRunning = false
    }

    /// A thread can have 16 million pools, one after the other, and each a million million tokens.
    fileprivate static let poolShift: UInt64 = 40
    private static let eventsPerTurn = 16
    fileprivate static let longestWaitMilliseconds: Int32 = 3_600_000
    private static let wakeToken: Token = 0

    private let epoll: Int32
    private let wakeup: Int32
    private let state = Mutex(State())

    package init() {
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

    // MARK: Pools

    /// Takes another pool, until ``leave(_:)``.
    func join() -> PoolNumber {
        state.withLock { state in
            state.lastPool += 1
            state.pools.insert(state.lastPool)
            return state.lastPool
        }
    }

    /// Lets a pool's handlers and timers go without calling them. Whoever comes for it later gets nothing.
    func leave(_ pool: PoolNumber) {
        let dropped = state.withLock { state in
            state.pools.remove(pool)
            return state.removeAll(of: pool)
        }
        withExtendedLifetime(dropped) {}
        wake()
    }

    // MARK: Sockets

    /// Keeps `handler` until ``remove(_:)``. Nil when it can't be called: the pool has left, or the system gives no thread
    /// or descriptor.
    func add(_ handler: any ReactorHandler, of pool: PoolNumber) -> Token? {
        guard epoll >= 0, wakeup >= 0 else { return nil }
        return state.withLock { state -> Token? in
            guard let token = startAndTakeToken(&state, pool) else { return nil }
            state.handlers[token] = handler
            return token
        }
    }

    /// Sets what `descriptor` is watched for. A closed descriptor leaves by itself.
    func watch(_ descriptor: Int32, _ token: Token, events: UInt32) {
        var event = epoll_event()
        event.events = events
        event.data.u64 = token
        if epoll_ctl(epoll, EPOLL_CTL_MOD, descriptor, &event) != 0, errno == ENOENT {
            epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event)
        }
    }

    func remove(_ token: Token) { state.withLock { _ = $0.handlers.removeValue(forKey: token) } }

    // MARK: Time

    /// Calls `action` on the thread when `deadline` has come; nil when it can't, and never will.
    func schedule(
        _ deadline: MonotonicTime, of pool: PoolNumber, _ action: @escaping @Sendable () -> Void
    ) -> Token? {
        let (token, mustWake) = state.withLock { state -> (Token?, Bool) in
            guard let token = startAndTakeToken(&state, pool) else { return (nil, false) }
            state.timers[token] = Timer(deadline: deadline, action: action)
            guard deadline < state.wakesAt else { return (token, false) }
            state.wakesAt = deadline
            return (token, true)
        }
        if mustWake { wake() }
        return token
    }

    func cancelTimer(_ token: Token) { state.withLock { _ = $0.timers.removeValue(forKey: token) } }

    /// Timers that have not gone off.
    var timerCount: Int { state.withLock { $0.timers.count } }

    // MARK: The thread

    var isRunning: Bool { state.withLock { $0.isRunning } }

    private func startAndTakeToken(_ state: inout State, _ pool: PoolNumber) -> Token? {
        guard state.pools.contains(pool) else { return nil }
        if !state.isRunning { state.isRunning = BlockingCall.start { self.run() } }
        guard state.isRunning else { return nil }
        defer { state.nextToken += 1 }
        return pool << Self.poolShift | state.nextToken
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

extension PostgresThread.State {
    /// The handlers and timers of a pool, so that they end outside the mutex.
    fileprivate mutating func removeAll(
        of pool: PostgresThread.PoolNumber
    ) -> ([any ReactorHandler], [PostgresThread.Timer]) {
        let isOthers = { (token: PostgresThread.Token) in token >> PostgresThread.poolShift != pool }
        let dropped = (
            handlers.filter { !isOthers($0.key) }.map(\.value), timers.filter { !isOthers($0.key) }.map(\.value)
        )
        handlers = handlers.filter { isOthers($0.key) }
        timers = timers.filter { isOthers($0.key) }
        return dropped
    }

    fileprivate mutating func dueTimers(_ now: MonotonicTime) -> ([@Sendable () -> Void], Int32?) {
        if pools.isEmpty {
            isRunning = false
            return ([], nil)
        }
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
        let isForEver = wakesAt == .distantFuture
        let wait = isForEver ? -1 : wakesAt.milliseconds(since: now, limit: PostgresThread.longestWaitMilliseconds)
        return (due.map(\.action), wait)
    }
}
