import Synchronization

/// The books of a pool: who has which connection and who waits for one.
final class Lending: Sendable {
    typealias Grant = Result<Connection, PostgresError>

    private struct Waiter {
        let ticket: UInt64
        let timer: Reactor.Token
        let grant: @Sendable (Grant) -> Void
    }

    private struct Idle {
        let connection: Connection
        let since: MonotonicTime
    }

    private struct State {
        var idle: [Idle] = []
        var lent: [ObjectIdentifier: Connection] = [:]
        var opening = 0
        var waiters: [Waiter] = []
        var cancelledTickets: Set<UInt64> = []
        var isClosed = false
        var sweepScheduled = false
        /// One for each that closes.
        var whenAllReturned: [@Sendable () -> Void] = []

        var total: Int { idle.count + lent.count + opening }

        mutating func lend(_ connection: Connection) { lent[ObjectIdentifier(connection)] = connection }

        mutating func lendIdle() -> Connection? {
            guard waiters.isEmpty, let connection = idle.popLast()?.connection else { return nil }
            lend(connection)
            return connection
        }
    }

    /// How many idle connections are kept however long they lie.
    private static let keptIdle = 1

    private let configuration: PostgresConfiguration
    private let reactor: Reactor
    private let state = Mutex(State())
    private let nextTicket = Atomic<UInt64>(1)

    init(_ configuration: PostgresConfiguration, _ reactor: Reactor) {
        self.configuration = configuration
        self.reactor = reactor
    }

    /// Connections that are open or being opened.
    var connectionCount: Int { state.withLock { $0.total } }
    var waiterCount: Int { state.withLock { $0.waiters.count } }
    var lentCount: Int { state.withLock { $0.lent.count } }

    /// A live connection for the caller alone, until `giveBack`.
    func borrow() async throws(PostgresError) -> Connection {
        if Task.isCancelled { throw .cancelled }
        if let connection = try takeIdle() { return connection }
        let ticket = nextTicket.add(1, ordering: .relaxed).oldValue
        let grant: Grant = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                enqueue(ticket) { continuation.resume(returning: $0) }
            }
        } onCancel: {
            withdraw(ticket, .cancelled, isCancellation: true)
        }
        state.withLock { _ = $0.cancelledTickets.remove(ticket) }
        return try grant.get()
    }

    /// Calls `grant` with a live connection, as ``borrow()`` answers with one; at once when one is idle. Not cancellable.
    func request(_ grant: @escaping @Sendable (Grant) -> Void) {
        do throws(PostgresError) {
            if let connection = try takeIdle() { return grant(.success(connection)) }
        } catch {
            return grant(.failure(error))
        }
        enqueue(nextTicket.add(1, ordering: .relaxed).oldValue, grant)
    }

    /// Takes a connection back: kept when it is clean, replaced when it isn't.
    func giveBack(_ connection: Connection) {
        let isClean = connection.isClean
        var next: Waiter?
        var finished: [@Sendable () -> Void] = []
        var mustSweep = false
        let keeps = state.withLock { state in
            state.lent[ObjectIdentifier(connection)] = nil
            if state.lent.isEmpty { swap(&finished, &state.whenAllReturned) }
            guard isClean, !state.isClosed else { return false }
            if state.waiters.isEmpty {
                state.idle.append(Idle(connection: connection, since: .now()))
                mustSweep = !state.sweepScheduled && state.idle.count > Self.keptIdle
                if mustSweep { state.sweepScheduled = true }
            } else {
                next = state.waiters.removeFirst()
                state.lend(connection)
            }
            return true
        }
        if let next { answer(next, .success(connection)) }
        for each in finished { each() }
        if mustSweep { scheduleSweep() }
        guard !keeps else { return }
        connection.close()
        openForWaiters()
    }

    /// Ends everything at once.
    func closeNow() {
        let (connections, waiters) = state.withLock { state in
            state.isClosed = true
            defer {
                state.idle = []
                state.waiters = []
            }
            return (state.idle.map(\.connection) + state.lent.values, state.waiters)
        }
        for waiter in waiters { answer(waiter, .failure(.closed)) }
        for connection in connections { connection.close() }
    }

    func close(grace: Duration) async {
        let (idle, waiters) = state.withLock { state in
            state.isClosed = true
            defer {
                state.idle = []
                state.waiters = []
            }
            return (state.idle, state.waiters)
        }
        for waiter in waiters { answer(waiter, .failure(.closed)) }
        for connection in idle { connection.connection.close() }
        await allReturned(within: grace)
        closeNow()
    }

    private func allReturned(within grace: Duration) async {
        await withCheckedContinuation { continuation in
            let once = Once { continuation.resume() }
            let deadline = MonotonicTime.now().advanced(by: grace)
            guard reactor.schedule(deadline, { once.run() }) != nil else { return once.run() }
            let isDone = state.withLock { state in
                guard !state.lent.isEmpty else { return true }
                state.whenAllReturned.append { once.run() }
                return false
            }
            if isDone { once.run() }
        }
    }

    private func takeIdle() throws(PostgresError) -> Connection? {
        while true {
            let (candidate, isClosed) = state.withLock { state -> (Connection?, Bool) in
                guard !state.isClosed else { return (nil, true) }
                return (state.lendIdle(), false)
            }
            if isClosed { throw .closed }
            guard let candidate else { return nil }
            if candidate.isAlive() { return candidate }
            giveBack(candidate)
        }
    }

    private func enqueue(_ ticket: UInt64, _ grant: @escaping @Sendable (Grant) -> Void) {
        let immediate = state.withLock { state -> Grant? in
            if state.isClosed { return .failure(.closed) }
            if state.cancelledTickets.contains(ticket) { return .failure(.cancelled) }
            if let connection = state.lendIdle() { return .success(connection) }
            // Those for whom a connection can still be opened don't count as waiting for somebody else's.
            let openable = configuration.maximumConnections - state.lent.count
            guard state.waiters.count < configuration.maximumWaiters + openable else { return .failure(.poolExhausted) }
            // Under the mutex, so that it can't go off before the waiter is in the queue.
            let deadline = MonotonicTime.now().advanced(by: configuration.waitLimit)
            let timer = reactor.schedule(deadline) { [weak self] in
                self?.withdraw(ticket, .poolExhausted, isCancellation: false)
            }
            guard let timer else { return .failure(.closed) }
            state.waiters.append(Waiter(ticket: ticket, timer: timer, grant: grant))
            return nil
        }
        if let immediate { grant(immediate) } else { openForWaiters() }
    }

    private func answer(_ waiter: Waiter, _ grant: Grant) {
        reactor.cancelTimer(waiter.timer)
        waiter.grant(grant)
    }

    private func withdraw(_ ticket: UInt64, _ error: PostgresError, isCancellation: Bool) {
        let waiter = state.withLock { state in
            guard let index = state.waiters.firstIndex(where: { $0.ticket == ticket }) else {
                if isCancellation { state.cancelledTickets.insert(ticket) }
                return Waiter?.none
            }
            return state.waiters.remove(at: index)
        }
        if let waiter { answer(waiter, .failure(error)) }
    }

    /// Opens as many connections as there are waiters without one on its way, within the bound.
    private func openForWaiters() {
        let count = state.withLock { state in
            guard !state.isClosed else { return 0 }
            let wanted = state.waiters.count - state.opening
            let count = max(0, min(wanted, configuration.maximumConnections - state.total))
            state.opening += count
            return count
        }
        for _ in 0..<count { openOne() }
    }

    private func openOne() {
        let events = Connection.Events(lost: { [weak self] connection in self?.drop(connection) })
        Connection.open(configuration, reactor: reactor, events: events) { [weak self] opened in
            guard let self else {
                if case .success(let connection) = opened { connection.close() }
                return
            }
            switch opened {
            case .success(let connection):
                state.withLock { state in
                    state.opening -= 1
                    state.lend(connection)
                }
                giveBack(connection)
            case .failure(let error): openingFailed(error)
            }
        }
    }

    private func openingFailed(_ error: PostgresError) {
        let waiter = state.withLock { state -> Waiter? in
            state.opening -= 1
            // The server is full, but we hold connections of which one will come free.
            if error.sqlState == .tooManyConnections, !state.lent.isEmpty { return nil }
            return state.waiters.isEmpty ? nil : state.waiters.removeFirst()
        }
        guard let waiter else { return }
        answer(waiter, .failure(error))
        openForWaiters()
    }

    /// An idle connection was ended by the other side.
    private func drop(_ connection: Connection) {
        state.withLock { $0.idle.removeAll { $0.connection === connection } }
        openForWaiters()
    }

    private func scheduleSweep() {
        let deadline = MonotonicTime.now().advanced(by: configuration.idleLimit)
        _ = reactor.schedule(deadline) { [weak self] in self?.sweep() }
    }

    /// Closes what has lain idle for too long; the most recently used are at the end.
    private func sweep() {
        let now = MonotonicTime.now()
        var expired: [Connection] = []
        let again = state.withLock { state in
            while state.idle.count > Self.keptIdle, let oldest = state.idle.first,
                oldest.since.advanced(by: configuration.idleLimit) <= now
            {
                expired.append(oldest.connection)
                state.idle.removeFirst()
            }
            state.sweepScheduled = state.idle.count > Self.keptIdle
            return state.sweepScheduled
        }
        for connection in expired { connection.close() }
        if again { scheduleSweep() }
    }
}

/// Runs its body the first time only.
private final class Once: Sendable {
    private let body: Mutex<(@Sendable () -> Void)?>
    init(_ body: @escaping @Sendable () -> Void) { self.body = Mutex(body) }
    func run() { body.withLock { $0.take() }?() }
}
