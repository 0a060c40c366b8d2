import MessageBus
import Primitives
import Synchronization

/// What the users' tasks, the thread that owns the connection and the timer thread share: the inbox, the operations
/// that somebody waits for, and the bounds.
///
/// An operation ends exactly once, with whichever comes first: the owner's outcome, its time limit, its task's
/// cancellation, or the end of the connection. Time limits are kept by the timer thread, so they hold even while the
/// owner is stuck in a library call.
final class ConnectionCore: Sendable {
    enum Kind: Sendable, Equatable {
        case declare
        case publish(String)
        case call(String)
        case endConsumer
        case close
    }

    private struct Operation {
        let kind: Kind
        let deadline: MonotonicTime
        let continuation: CheckedContinuation<Result<Outcome, BusError>, Never>
    }

    private struct State {
        var inbox: [Command] = []
        var operations: [OperationID: Operation] = [:]
        var consumers: [ConsumerID: Mailbox<ReceivedMessage>] = [:]
        var nextID: UInt64 = 0
        var publishes = 0
        var calls = 0
        var bytes = 0
        var isConnected = false
        var isClosing = false
        var hasEnded = false
        var lastFailure = BusError.disconnected("not connected yet")
        /// Until when the timer thread sleeps.
        var timerLimit = MonotonicTime.never
    }

    let configuration: RabbitMQConfiguration
    let notice: @Sendable (RabbitMQNotice) -> Void
    let inboxSignal: WakeSignal
    let timerSignal: WakeSignal
    let socketGuard = SocketGuard()
    /// When the owner last left its sleep; 0 while it sleeps. Nanoseconds of the monotonic clock.
    private let busySince = Atomic<UInt64>(0)
    private let state = Mutex(State())

    init(
        configuration: RabbitMQConfiguration, notice: @escaping @Sendable (RabbitMQNotice) -> Void
    ) throws(BusError) {
        self.configuration = configuration
        self.notice = notice
        inboxSignal = try WakeSignal()
        timerSignal = try WakeSignal()
    }

    // MARK: - For the users' tasks

    var isConnected: Bool { state.withLock { $0.isConnected } }

    func newID() -> UInt64 {
        state.withLock { state in
            state.nextID += 1
            return state.nextID
        }
    }

    /// Hands over a command and waits for what becomes of it.
    /// - Parameters:
    ///   - isCancellable: whether the wait ends with its task.
    ///   - ring: ends the wait with ``BusError/calledOff``.
    func perform(
        _ kind: Kind, id: OperationID, timeout: Duration, isCancellable: Bool = true, unless ring: NextRing? = nil,
        bytes: Int = 0, _ command: Command?
    ) async throws(BusError) -> Outcome {
        let ticket = ring?.call { [self] in complete(id, .failure(.calledOff), forget: true) }
        defer { ring?.forget(ticket) }
        let deadline = MonotonicTime.now + timeout
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let operation = Operation(kind: kind, deadline: deadline, continuation: continuation)
                if let refusal = enter(id, operation, bytes: bytes, command) {
                    continuation.resume(returning: .failure(refusal))
                } else if isCancellable, Task.isCancelled {
                    complete(id, .failure(.cancelled), forget: true)
                } else if ring?.hasCome == true {
                    // Before there was an operation to end.
                    complete(id, .failure(.calledOff), forget: true)
                }
            }
        } onCancel: {
            if isCancellable { complete(id, .failure(.cancelled), forget: true) }
        }
        return try result.get()
    }

    private func enter(_ id: OperationID, _ operation: Operation, bytes: Int, _ command: Command?) -> BusError? {
        let (refusal, wakesOwner, wakesTimer) = state.withLock { state -> (BusError?, Bool, Bool) in
            if let refusal = Self.refusal(of: operation.kind, bytes: bytes, state) { return (refusal, false, false) }
            state.operations[id] = operation
            switch operation.kind {
            case .publish:
                state.publishes += 1
                state.bytes += bytes
            case .call:
                state.calls += 1
                state.bytes += bytes
            case .declare, .endConsumer, .close: break
            }
            let wakesOwner = command != nil && state.inbox.isEmpty
            if let command { state.inbox.append(command) }
            let wakesTimer = operation.deadline < state.timerLimit
            if wakesTimer { state.timerLimit = operation.deadline }
            return (nil, wakesOwner, wakesTimer)
        }
        if wakesOwner { inboxSignal.wake() }
        if wakesTimer { timerSignal.wake() }
        return refusal
    }

    private static func refusal(of kind: Kind, bytes: Int, _ state: borrowing State) -> BusError? {
        if kind == .close { return state.hasEnded ? .closed : nil }
        if state.isClosing { return .closed }
        switch kind {
        case .publish where state.publishes >= BusLimits.publishesInFlight:
            return .tooManyInFlight("\(BusLimits.publishesInFlight) publishes on one connection")
        case .call where state.calls >= BusLimits.callsInFlight:
            return .tooManyInFlight("\(BusLimits.callsInFlight) calls on one connection")
        case .publish, .call:
            guard state.bytes + bytes <= BusLimits.bytesInFlight else {
                return .tooManyInFlight("\(BusLimits.bytesInFlight) bytes on one connection")
            }
            return nil
        case .declare, .endConsumer, .close: return nil
        }
    }

    /// Hands over a command that nobody waits for.
    func submit(_ command: Command) {
        let wakes = state.withLock { state in
            guard !state.hasEnded else { return false }
            state.inbox.append(command)
            return state.inbox.count == 1
        }
        if wakes { inboxSignal.wake() }
    }

    func addConsumer(_ job: ConsumeJob) throws(BusError) {
        let refusal = state.withLock { state -> BusError? in
            if state.isClosing { return .closed }
            guard state.consumers.count < BusLimits.consumers else {
                return .tooManyInFlight("\(BusLimits.consumers) consumers on one connection")
            }
            state.consumers[job.id] = job.mailbox
            return nil
        }
        if let refusal { throw refusal }
        submit(.consume(job))
    }

    func removeConsumer(_ id: ConsumerID) { state.withLock { $0.consumers[id] = nil } }

    /// Ends everything that waits with ``BusError/closed`` and asks the owner to end the connection.
    func beginClosing() {
        let (operations, consumers) = state.withLock { state in
            state.isClosing = true
            let ended = state.operations.filter { $0.value.kind != .close && $0.value.kind != .endConsumer }
            for id in ended.keys { state.operations[id] = nil }
            return (Array(ended.values), Array(state.consumers.values))
        }
        for operation in operations { operation.continuation.resume(returning: .failure(.closed)) }
        for mailbox in consumers { mailbox.finish(.closed) }
        inboxSignal.wake()
        timerSignal.wake()
    }

    // MARK: - For the owner

    var isClosing: Bool { state.withLock { $0.isClosing } }

    func takeInbox() -> [Command] {
        state.withLock { state in
            guard !state.inbox.isEmpty else { return [] }
            let commands = state.inbox
            state.inbox = []
            return commands
        }
    }

    /// Whether somebody still waits for this operation.
    func isWanted(_ id: OperationID) -> Bool { state.withLock { $0.operations[id] != nil } }

    func complete(_ id: OperationID, _ result: Result<Outcome, BusError>) {
        complete(id, result, forget: false)
    }

    /// The owner holds this publish no longer.
    func release(_ job: PublishJob) {
        state.withLock { state in
            state.publishes -= 1
            state.bytes -= job.message.body.count
        }
    }

    func release(_ job: CallJob) {
        state.withLock { state in
            state.calls -= 1
            state.bytes -= job.message.body.count
        }
    }

    func setConnected() { state.withLock { $0.isConnected = true } }

    func setDisconnected(_ failure: BusError) {
        state.withLock { state in
            state.isConnected = false
            state.lastFailure = failure
        }
    }

    func markBusy() { busySince.store(MonotonicTime.now.nanoseconds, ordering: .relaxed) }

    func markAsleep() { busySince.store(0, ordering: .relaxed) }

    /// The owner's last word.
    func end() {
        markAsleep()
        let operations = state.withLock { state in
            state.hasEnded = true
            state.isConnected = false
            state.inbox = []
            let operations = state.operations
            state.operations = [:]
            return Array(operations.values)
        }
        for operation in operations {
            let isFine = operation.kind == .close || operation.kind == .endConsumer
            operation.continuation.resume(returning: isFine ? .success(.done) : .failure(.closed))
        }
        timerSignal.wake()
    }

    // MARK: -

    private func complete(_ id: OperationID, _ result: Result<Outcome, BusError>, forget: Bool) {
        let operation = state.withLock { $0.operations.removeValue(forKey: id) }
        guard let operation else { return }
        operation.continuation.resume(returning: result)
        if forget { submit(.forget(id)) }
    }
}

extension ConnectionCore {
    /// An owner that has been away from its sleep for this long may be stuck in the library.
    private static let suspiciousAbsence = Duration.seconds(1)
    /// One that has been away for this long is stuck, even if the broker lives: it takes nothing from us.
    private static let absenceLimit = Duration.seconds(60)
    /// What the owner is given beyond two heartbeats to notice the broker's silence by itself.
    private static let silenceAllowance = Duration.milliseconds(500)

    /// The timer thread: ends operations whose time is up, and cuts the socket off under an owner that is stuck.
    func runTimer() {
        while let limit = nextTimerLimit() {
            _ = timerSignal.sleep(until: limit)
            expireOperations()
            watchOwner()
        }
    }

    private func watchOwner() {
        let busy = MonotonicTime(nanoseconds: busySince.load(ordering: .relaxed))
        guard busy.nanoseconds != 0 else { return }
        let absence = MonotonicTime.now.since(busy)
        guard absence > Self.suspiciousAbsence, let silence = socketGuard.silence else { return }
        let isSilent = silence > configuration.heartbeat * 2 + Self.silenceAllowance
        if isSilent || absence > Self.absenceLimit { socketGuard.cutOff() }
    }

    /// Until when the timer may sleep; `nil` when there is nothing left to watch over.
    private func nextTimerLimit() -> MonotonicTime? {
        let watch = MonotonicTime.now + configuration.heartbeat / 2
        return state.withLock { state in
            if state.hasEnded, state.operations.isEmpty { return nil }
            state.timerLimit = state.operations.values.lazy.map(\.deadline).min().map { min($0, watch) } ?? watch
            return state.timerLimit
        }
    }

    private func expireOperations() {
        let now = MonotonicTime.now
        let (expired, failure) = state.withLock { state -> ([(OperationID, Operation)], BusError?) in
            let expired = state.operations.filter { $0.value.deadline <= now }
            for id in expired.keys { state.operations[id] = nil }
            return (expired.map { ($0.key, $0.value) }, state.isConnected ? nil : state.lastFailure)
        }
        for (id, operation) in expired {
            operation.continuation.resume(returning: Self.outcomeOfExpiry(operation.kind, failure))
            submit(.forget(id))
        }
    }

    /// - Parameter failure: why there is no connection, if there is none.
    private static func outcomeOfExpiry(_ kind: Kind, _ failure: BusError?) -> Result<Outcome, BusError> {
        switch kind {
        case .declare: .failure(failure ?? .timedOut("the broker has not declared in time"))
        case .publish(let what): .failure(failure ?? .timedOut("no confirmation in time for \(what)"))
        case .call(let what): .failure(failure ?? .timedOut("no answer in time from \(what)"))
        case .endConsumer, .close: .success(.done)
        }
    }
}
