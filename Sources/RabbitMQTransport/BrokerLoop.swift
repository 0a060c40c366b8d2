import DequeModule
import FoundationEssentials
import MessageBus
import Primitives

/// The thread that owns the connection: dials, reads and writes frames, and dials again when the connection is lost.
///
/// Each turn: sleep until the socket, the inbox or a time wants something; look at how long the broker has been silent;
/// read what has arrived; take the inbox; send what may be sent. Every kind of work has a channel of its own, because
/// the broker answers a refused request by closing its channel:
///
///     1 declare     one request at a time, so a refusal is the current one's
///     2 publish     with confirms; after a refusal what was in flight goes out again one by one
///     3 call        requests and the answers to them; a refusal concerns them all alike
///     4... consume  one channel a consumer, its answers to calls included
///
/// Not `Sendable`: made and used by its thread only.
final class BrokerLoop {
    enum Channel {
        static let declare: UInt16 = 1
        static let publish: UInt16 = 2
        static let call: UInt16 = 3
        static let firstConsumer: UInt16 = 4
    }

    /// How far a channel for one kind of work has come.
    enum ChannelPhase { case closed, opening, preparing, ready }

    /// Frames that are read, and messages of one kind that are sent, before everything else gets its turn.
    static let framesPerTurn = 512
    static let messagesPerTurn = 64
    /// A connection that lasted this long makes the next loss start with the shortest back-off.
    static let stableConnection = Duration.seconds(5)
    /// How long the broker may take to answer the connection's end.
    static let closeTimeout = Duration.seconds(1)

    let core: ConnectionCore
    var session: AMQPSession?
    /// When the socket last had something for us.
    var lastReceived = MonotonicTime.now
    /// The broker is short of memory or disk and takes no messages.
    var isBlocked = false
    /// What was declared before the connection was lost is declared again; before that nothing else is done.
    var isRestored = false
    /// Something was left undone for the sake of fairness.
    var hasMoreToDo = false
    /// The connection broke while the inbox was being emptied.
    private var pendingFailure: BusError?

    var incoming: [UInt16: IncomingMessage] = [:]
    var declaring = Declaring()
    var publishing = Publishing()
    var calling = Calling()
    var consumers: [ConsumerID: Consumer] = [:]
    var consumerChannels: [UInt16: ConsumerID] = [:]
    var lastGeneration: UInt64 = 0
    /// Answers that wait until the broker takes messages again.
    var heldAnswers: [(DeliveryReference, OutgoingMessage, String)] = []

    init(core: ConnectionCore) { self.core = core }

    func run() {
        var attempt = 0
        while !core.isClosing {
            let started = MonotonicTime.now
            do throws(BusError) {
                try connect()
                try work()
                session = nil
            } catch {
                let wasConnected = session != nil
                lose(error)
                if MonotonicTime.now.since(started) > Self.stableConnection { attempt = 0 }
                var generator = SystemRandomNumberGenerator()
                let delay = core.configuration.backoff.delay(attempt: attempt, using: &generator)
                attempt += 1
                core.notice(wasConnected ? .disconnected(error) : .connectFailed(error, retryIn: delay))
                rest(until: .now + delay)
            }
        }
        session = nil
        core.end()
    }

    private func connect() throws(BusError) {
        core.markBusy()
        session = try AMQPSession.open(core.configuration, guardedBy: core.socketGuard)
        lastReceived = .now
        core.setConnected()
        core.notice(.connected)
        beginRestoring()
    }

    /// Works until the connection is lost, which throws, or is to be closed.
    private func work() throws(BusError) {
        while true {
            try takeTurn()
            if core.isClosing {
                processInbox()
                try throwPendingFailure()
                try send()
                session?.close(within: Self.closeTimeout)
                return
            }
        }
    }

    private func takeTurn() throws(BusError) {
        guard let session else { throw .disconnected("no session") }
        core.markAsleep()
        let limit = hasMoreToDo ? MonotonicTime.now : nextTurn
        hasMoreToDo = false
        let isReadable = core.inboxSignal.sleep(until: limit, orReadable: session.socket)
        core.markBusy()
        if isReadable { lastReceived = .now }
        try checkHeartbeat()
        try readFrames()
        processInbox()
        try throwPendingFailure()
        try send()
    }

    /// When there is something to do even if nothing arrives: heartbeats are sent from within ``AMQPSession/nextFrame()``.
    private var nextTurn: MonotonicTime {
        var next = MonotonicTime.now + core.configuration.heartbeat / 2
        if let time = declaring.retryAt { next = min(next, time) }
        guard isRestored else { return next }
        for consumer in consumers.values where !consumer.isStopping {
            if case .idle(let retryAt) = consumer.phase { next = min(next, retryAt) }
        }
        return next
    }

    /// Gives the connection up when the broker has been silent for two heartbeats.
    func checkHeartbeat() throws(BusError) {
        let limit = core.configuration.heartbeat * 2
        guard MonotonicTime.now.since(lastReceived) >= limit else { return }
        // While a large message was being sent, heartbeats may have arrived that nobody has read yet.
        let silence = core.socketGuard.silence ?? limit
        guard silence < limit else { throw .disconnected("the message broker has been silent for \(silence)") }
    }

    private func readFrames() throws(BusError) {
        guard let session else { return }
        for _ in 0..<Self.framesPerTurn {
            guard let frame = try session.nextFrame() else { return }
            try handle(frame)
        }
        hasMoreToDo = true
    }

    private func send() throws(BusError) {
        guard let session else { return }
        try sendDeclarations(session)
        guard isRestored else { return }
        try startConsumers(session)
        guard !isBlocked else { return }
        try sendAnswers(session)
        try sendPublishes(session)
        try sendCalls(session)
    }

    /// Sleeps between two attempts, still taking in what the users want.
    private func rest(until limit: MonotonicTime) {
        while !core.isClosing, MonotonicTime.now < limit {
            core.markAsleep()
            _ = core.inboxSignal.sleep(until: limit)
            core.markBusy()
            processInbox()
        }
    }

    /// Puts everything that was in flight back to where a new connection starts from.
    private func lose(_ failure: BusError) {
        session = nil
        core.setDisconnected(failure)
        isBlocked = false
        isRestored = false
        hasMoreToDo = false
        pendingFailure = nil
        incoming = [:]
        heldAnswers = []
        loseDeclarations()
        losePublishes()
        loseCalls(failure)
        loseConsumers()
    }

    // MARK: - Inbox

    private func processInbox() {
        var forgotten: Set<OperationID> = []
        for command in core.takeInbox() {
            switch command {
            case .declare(let job): declaring.waiting.append(.init(job))
            case .publish(let job): publishing.waiting.append(job)
            case .call(let job): calling.waiting.append(job)
            case .consume(let job): consumers[job.id] = Consumer(job)
            case .stopConsumer(let id): stopConsumer(id)
            case .endConsumer(let id, let operation): endConsumer(id, operation)
            case .settle(let reference, let disposition): settle(reference, disposition)
            case .answer(let reference, let message, let replyTo): heldAnswers.append((reference, message, replyTo))
            case .forget(let id): forgotten.insert(id)
            }
        }
        if !forgotten.isEmpty { forget(forgotten) }
    }

    /// Sends something on a user's behalf, if there is a connection. Should that fail, the rest of the inbox is taken
    /// in before the connection is given up.
    func attempt(_ body: (AMQPSession) throws(BusError) -> Void) {
        guard let session, pendingFailure == nil else { return }
        do throws(BusError) {
            try body(session)
        } catch {
            pendingFailure = error
        }
    }

    private func throwPendingFailure() throws(BusError) {
        if let failure = pendingFailure { throw failure }
    }

    private func forget(_ operations: Set<OperationID>) {
        declaring.waiting.removeAll { $0.id.map(operations.contains) ?? false }
        forgetPublishes(operations)
        forgetCalls(operations)
    }
}
