import Primitives
import Synchronization

extension PostgresPool {
    /// Listens on a channel over a connection of its own, from the first iteration until the sequence and its iterator are
    /// let go, the iterating task is cancelled or the pool is closed. Only one task may iterate.
    package func listen(channel: String) -> PostgresNotifications {
        PostgresNotifications(PostgresListener(configuration, channel, reactor))
    }
}

/// What arrives on a channel. It never fails: a lost connection is made again, with a jittered wait between attempts. The
/// sequence ends when its task is cancelled or the pool is closed.
package struct PostgresNotifications: AsyncSequence, Sendable {
    package enum Element: Sendable, Equatable {
        /// From here on notifications arrive. What they tell about should be read now.
        case listening
        /// Notifications may have been missed: what they tell about should be read again.
        case reconnected
        case notification(PostgresNotification)
    }

    package typealias Failure = Never

    /// Ends the listening when the last iterator goes.
    fileprivate final class Lifetime: Sendable {
        let listener: PostgresListener
        init(_ listener: PostgresListener) { self.listener = listener }
        deinit { listener.stop() }
    }

    package struct AsyncIterator: AsyncIteratorProtocol {
        private let lifetime: Lifetime
        fileprivate init(_ lifetime: Lifetime) { self.lifetime = lifetime }

        package mutating func next() async -> Element? { await lifetime.listener.next() }

        package mutating func next(isolation actor: isolated (any Actor)?) async -> Element? {
            await lifetime.listener.next()
        }
    }

    private let lifetime: Lifetime

    init(_ listener: PostgresListener) { lifetime = Lifetime(listener) }

    package func makeAsyncIterator() -> AsyncIterator {
        lifetime.listener.start()
        return AsyncIterator(lifetime)
    }
}

/// Keeps one listening connection up and a bounded buffer of what it said. Driven by the reactor's callbacks alone.
final class PostgresListener: Sendable {
    typealias Element = PostgresNotifications.Element

    /// When a slow consumer lets the buffer fill, it is emptied and the consumer told to read everything again.
    static let bufferLimit = 1024

    private struct State {
        var isStarted = false
        var isStopped = false
        var stopAction: Reactor.Token?
        var hasListened = false
        var failures = 0
        var connection: Connection?
        var buffer: [Element] = []
        var consumer: CheckedContinuation<Element?, Never>?
    }

    private let configuration: PostgresConfiguration
    private let channel: String
    private let reactor: Reactor
    private let backoff = Backoff()
    private let state = Mutex(State())

    init(_ configuration: PostgresConfiguration, _ channel: String, _ reactor: Reactor) {
        self.configuration = configuration
        self.channel = channel
        self.reactor = reactor
    }

    func start() {
        let isFirst = state.withLock { state in
            defer { state.isStarted = true }
            return !state.isStarted && !state.isStopped
        }
        guard isFirst else { return }
        guard let stopAction = reactor.atStop({ [weak self] in self?.stop() }) else { return stop() }
        state.withLock { $0.stopAction = stopAction }
        connect()
    }

    func stop() {
        let (connection, consumer, stopAction) = state.withLock { state in
            state.isStopped = true
            state.buffer = []
            return (state.connection.take(), state.consumer.take(), state.stopAction.take())
        }
        if let stopAction { reactor.cancelStopAction(stopAction) }
        consumer?.resume(returning: nil)
        connection?.close()
    }

    func next() async -> Element? {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let now: Element?? = state.withLock { state in
                    if state.isStopped { return .some(nil) }
                    if !state.buffer.isEmpty { return state.buffer.removeFirst() }
                    precondition(state.consumer == nil, "only one task may iterate over notifications")
                    state.consumer = continuation
                    return .none
                }
                if let now { continuation.resume(returning: now) }
            }
        } onCancel: {
            stop()
        }
    }

    private func connect() {
        let events = Connection.Events(
            lost: { [weak self] _ in self?.lost() },
            notified: { [weak self] in self?.deliver(.notification($0)) })
        Connection.open(configuration, reactor: reactor, events: events) { [weak self] opened in
            switch opened {
            case .failure: self?.lost()
            case .success(let connection): self?.listen(connection)
            }
        }
    }

    private func listen(_ connection: Connection) {
        let isWanted = state.withLock { state in
            guard !state.isStopped else { return false }
            state.connection = connection
            return true
        }
        guard isWanted else { return connection.close() }
        let statement = Statement(raw: "listen \(SQLIdentifier.quoted(channel))").once
        let limits = Connection.Limits(cancellable: false, time: configuration.connectTimeout)
        connection.submit([statement], 0, limits) { [weak self] answer in
            switch answer {
            case .success: self?.established()
            case .failure:
                connection.close()
                self?.lost()
            }
        }
    }

    private func established() {
        let isAgain = state.withLock { state in
            defer { state.hasListened = true }
            state.failures = 0
            return state.hasListened
        }
        deliver(isAgain ? .reconnected : .listening)
    }

    private func lost() {
        let failures = state.withLock { state -> Int? in
            guard !state.isStopped else { return nil }
            state.connection = nil
            defer { state.failures += 1 }
            return state.failures
        }
        guard let failures else { return }
        var generator = SystemRandomNumberGenerator()
        let wait = backoff.delay(attempt: failures, using: &generator)
        _ = reactor.schedule(MonotonicTime.now().advanced(by: wait)) { [weak self] in self?.connect() }
    }

    private func deliver(_ element: Element) {
        let consumer = state.withLock { state -> CheckedContinuation<Element?, Never>? in
            guard !state.isStopped else { return nil }
            if let consumer = state.consumer.take() { return consumer }
            if state.buffer.count < Self.bufferLimit {
                state.buffer.append(element)
            } else {
                state.buffer = [.reconnected]
            }
            return nil
        }
        consumer?.resume(returning: element)
    }
}
