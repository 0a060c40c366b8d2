import CLibpq
import Primitives
import Synchronization

/// One session with the server. Everything is started by a call that returns at once and finished by a callback, on the
/// reactor's thread or on the caller's; the async face of it is `perform`.
///
/// Always in pipeline mode: what is sent together (preparing and running a statement, a whole transaction) costs one round
/// trip. One exchange at a time: whoever borrowed the connection from the pool is alone with it.
final class Connection: ReactorHandler {
    typealias Answer = Result<[ResultBox], PostgresError>
    typealias Action = @Sendable () -> Void

    /// What the owner is told.
    struct Events: Sendable {
        /// The server or the network ended the session while nothing was under way.
        var lost: @Sendable (Connection) -> Void = { _ in }
        var notified: (@Sendable (PostgresNotification) -> Void)?
    }

    enum Phase { case opening, ready, closed }

    /// Whether a transaction is open on the server.
    enum TransactionStatus { case none, open, failed, unknown }

    struct State {
        var phase = Phase.opening
        var handle: LibpqHandle?
        var token: Reactor.Token?
        var opened: (@Sendable (Result<Connection, PostgresError>) -> Void)?
        /// For the time that opening may take.
        var timer: Reactor.Token?
        var exchange: Exchange?
        var cache: StatementCache
        var cancelledBeforeStart: UInt64 = 0
        var wantsWrite = false
        var transactionStatus = TransactionStatus.none
        /// Not to be lent again.
        var isTainted = false
    }

    let configuration: PostgresConfiguration
    let reactor: Reactor
    let events: Events
    let state: Mutex<State>
    let nextExchange = Atomic<UInt64>(1)

    private init(_ configuration: PostgresConfiguration, _ reactor: Reactor, _ events: Events) {
        self.configuration = configuration
        self.reactor = reactor
        self.events = events
        state = Mutex(State(cache: StatementCache(limit: configuration.preparedStatementLimit)))
    }

    /// Opens a session with the first password that the server accepts, each within the configuration's connect time-out,
    /// and calls back once. While a password is being replaced there are two.
    static func open(
        _ configuration: PostgresConfiguration, reactor: Reactor, events: Events,
        completion: @escaping @Sendable (Result<Connection, PostgresError>) -> Void
    ) {
        guard let source = configuration.password else {
            return open(configuration, password: nil, reactor: reactor, events: events, completion: completion)
        }
        guard let first = source.values().first else {
            return completion(.failure(.connection("there is no password for \(configuration.user)")))
        }
        open(configuration, tried: [], next: first, reactor: reactor, events: events, completion: completion)
    }

    private static func open(
        _ configuration: PostgresConfiguration, tried: [Secret], next: Secret, reactor: Reactor, events: Events,
        completion: @escaping @Sendable (Result<Connection, PostgresError>) -> Void
    ) {
        open(configuration, password: next, reactor: reactor, events: events) { opened in
            let tried = tried + [next]
            guard case .failure(let error) = opened, error.sqlState == .invalidPassword,
                tried.count < PasswordSource.limit * 2,
                let another = configuration.password?.values(after: tried).first
            else { return completion(opened) }
            open(
                configuration, tried: tried, next: another, reactor: reactor, events: events, completion: completion)
        }
    }

    private static func open(
        _ configuration: PostgresConfiguration, password: Secret?, reactor: Reactor, events: Events,
        completion: @escaping @Sendable (Result<Connection, PostgresError>) -> Void
    ) {
        let connection = Connection(configuration, reactor, events)
        connection.state.withLock { $0.opened = completion }
        let deadline = MonotonicTime.now().advanced(by: configuration.connectTimeout)
        let timer = reactor.schedule(deadline) { connection.openingTimedOut() }
        guard let timer else { return connection.fail(.closed) }
        connection.state.withLock { $0.timer = timer }
        let started = BlockingCall.start { connection.begin(LibpqHandle.start(configuration, password: password)) }
        if !started { connection.fail(.connection("the system gives no thread")) }
    }

    /// Ends the session. What is under way fails with ``PostgresError/closed``.
    func close() { fail(.closed) }

    /// Ready for a statement of somebody else: alive, nothing under way, no transaction open.
    var isClean: Bool {
        state.withLock {
            $0.phase == .ready && $0.exchange == nil && $0.transactionStatus == .none && !$0.isTainted
        }
    }

    var isOpen: Bool { state.withLock { $0.phase == .ready } }
    var preparedStatementCount: Int { state.withLock { $0.cache.count } }

    /// Looks whether the server has ended the session without the reactor having come to it yet; where something is under
    /// way, that is for the reactor to find.
    func isAlive() -> Bool {
        let (alive, actions) = state.withLock { state -> (Bool, [Action]) in
            guard state.phase == .ready, let handle = state.handle else { return (false, []) }
            guard state.exchange == nil, handle.hasSomethingToRead else { return (true, []) }
            let isFine = handle.readWhileIdle() && !handle.hasSomethingToRead
            let actions = notifications(handle)
            if isFine { return (true, actions) }
            return (false, actions + shutDown(&state, handle.connectionError()))
        }
        for action in actions { action() }
        return alive
    }

    func socketIsReady() {
        let actions = state.withLock { state -> [Action] in
            switch state.phase {
            case .opening: advanceOpening(&state)
            case .ready: receive(&state)
            case .closed: []
            }
        }
        for action in actions { action() }
    }

    /// Drops the session for that reason, and tells whoever waits.
    func fail(_ error: PostgresError) {
        let actions = state.withLock { shutDown(&$0, error) }
        for action in actions { action() }
    }

    private func openingTimedOut() {
        let actions = state.withLock { state in
            state.phase == .opening ? shutDown(&state, .connection("no answer within the connect time-out")) : []
        }
        for action in actions { action() }
    }
}

// Everything below runs under the mutex and answers with what to do after it.
extension Connection {
    private func begin(_ started: Result<LibpqHandle, PostgresError>) {
        let actions = state.withLock { state -> [Action] in
            guard state.phase == .opening else { return [] }
            switch started {
            case .failure(let error): return shutDown(&state, error)
            case .success(let handle):
                guard let token = reactor.add(self) else { return shutDown(&state, .closed) }
                state.handle = handle
                state.token = token
                reactor.watch(PQsocket(handle.raw), token, .write)
                return []
            }
        }
        for action in actions { action() }
    }

    private func advanceOpening(_ state: inout State) -> [Action] {
        guard let handle = state.handle, let token = state.token else { return [] }
        switch PQconnectPoll(handle.raw) {
        case PGRES_POLLING_READING: reactor.watch(PQsocket(handle.raw), token, .read)
        case PGRES_POLLING_WRITING: reactor.watch(PQsocket(handle.raw), token, .write)
        case PGRES_POLLING_OK:
            guard PQsetnonblocking(handle.raw, 1) == 0, PQenterPipelineMode(handle.raw) == 1 else {
                return shutDown(&state, .connection("pipeline mode refused"))
            }
            reactor.watch(PQsocket(handle.raw), token, .read)
            state.phase = .ready
            let opened = state.opened.take()
            let timer = state.timer.take()
            return [
                { [self] in
                    if let timer { reactor.cancelTimer(timer) }
                    opened?(.success(self))
                }
            ]
        default: return shutDown(&state, handle.connectionError())
        }
        return []
    }

    func shutDown(_ state: inout State, _ error: PostgresError) -> [Action] {
        guard state.phase != .closed else { return [] }
        let wasIdle = state.phase == .ready && state.exchange == nil
        state.phase = .closed
        state.transactionStatus = .unknown
        // Freed after the mutex is released: nobody else has it, and saying good-bye to the server can wait.
        let handle = state.handle.take()
        let token = state.token.take()
        let timer = state.timer.take()
        let opened = state.opened.take()
        let exchange = state.exchange.take()
        return [
            { [self] in
                if let token { reactor.remove(token) }
                for timer in [timer, exchange?.timer] { if let timer { reactor.cancelTimer(timer) } }
                withExtendedLifetime(handle) {}
                opened?(.failure(error))
                if let exchange { exchange.completion(exchange.answerWhenLost(error)) }
                if wasIdle, error != .closed { events.lost(self) }
            }
        ]
    }

    func notifications(_ handle: LibpqHandle) -> [Action] {
        var actions: [Action] = []
        while let raw = PQnotifies(handle.raw) {
            defer { PQfreemem(raw) }
            guard let notified = events.notified else { continue }
            let notification = PostgresNotification(
                channel: String(cString: raw.pointee.relname), payload: String(cString: raw.pointee.extra),
                processID: raw.pointee.be_pid)
            actions.append { notified(notification) }
        }
        return actions
    }
}

extension LibpqHandle {
    /// True also at the end of the stream and on errors, which reading then finds.
    var hasSomethingToRead: Bool { Socket.hasSomethingToRead(PQsocket(raw)) || PQstatus(raw) != CONNECTION_OK }
}
