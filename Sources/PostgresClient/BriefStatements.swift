import Synchronization

/// The brief statements of a pool (``Statement/brief``). One that finds a session idle is sent by itself; those that come
/// while all are lent wait for the next together, and share a round trip on it: one message each way, one transaction.
final class BriefStatements: Sendable {
    private struct State {
        var waiting: [Call] = []
        /// A session has been asked for, for those that wait.
        var isAsking = false
    }

    /// The most that share a round trip: how many the first answer may have to wait for.
    static let batchLimit = 64

    private let lending: Lending
    /// How many may wait.
    private let limit: Int
    private let state = Mutex(State())

    init(_ lending: Lending, limit: Int) {
        self.lending = lending
        self.limit = limit
    }

    /// Those that wait for a session.
    var waitingCount: Int { state.withLock { $0.waiting.count } }

    /// Runs the statement with others. One that is cancelled when it has been sent runs to its end, and nobody hears of it.
    /// - Returns: nil where it has to run alone: one of those that it was sent with failed, or was not prepared any more.
    func run(_ statement: Statement) async throws(PostgresError) -> ResultBox? {
        if let failure = statement.failure { throw failure }
        let call = Call(statement)
        let answer = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                call.wait(continuation)
                enqueue(call)
            }
        } onCancel: {
            call.answer(.failed(.cancelled))
        }
        return switch answer {
        case .result(let result): result
        case .alone: nil
        case .failed(let error): throw error
        }
    }

    private func enqueue(_ call: Call) {
        let (isFull, mustAsk) = state.withLock { state in
            guard state.waiting.count < limit || !state.isAsking else { return (true, false) }
            state.waiting.append(call)
            defer { state.isAsking = true }
            return (false, !state.isAsking)
        }
        if isFull { call.answer(.failed(.poolExhausted)) }
        if mustAsk { ask() }
    }

    private func ask() { lending.request { [self] in serve($0) } }

    private func serve(_ grant: Lending.Grant) {
        switch grant {
        case .success(let connection):
            let (batch, mustAsk) = take(Self.batchLimit)
            send(batch, on: connection)
            if mustAsk { ask() }
        case .failure(let error):
            for call in take(.max).batch { call.answer(.failed(error)) }
        }
    }

    /// Those that nobody waits for any more are left out.
    private func take(_ most: Int) -> (batch: [Call], mustAsk: Bool) {
        state.withLock { state in
            state.waiting.removeAll(where: \.isAnswered)
            let batch = Array(state.waiting.prefix(most))
            state.waiting.removeFirst(batch.count)
            state.isAsking = !state.waiting.isEmpty
            return (batch, state.isAsking)
        }
    }

    /// All of them have the time that one has: a session that hangs is found as soon.
    private func send(_ batch: [Call], on connection: Connection) {
        guard !batch.isEmpty else { return lending.giveBack(connection) }
        let limits = Connection.Limits(time: connection.timeLimit(statements: 1))
        let id = connection.nextExchange.add(1, ordering: .relaxed).oldValue
        connection.submit(batch.map(\.statement), id, limits) { [lending] answer in
            let isLost = !connection.isOpen
            // First, so that the server has the next ones while these are answered.
            lending.giveBack(connection)
            switch answer {
            case .success(let results):
                for (call, result) in zip(batch, results) { call.answer(.result(result)) }
            case .failure(let error):
                let isItsOwn = batch.count == 1 && error != .stalePlan
                for call in batch { call.answer(isLost || isItsOwn ? .failed(error) : .alone) }
            }
        }
    }
}

/// One that waits for its answer, and hears the first.
private final class Call: Sendable {
    enum Answer {
        case result(ResultBox)
        case alone
        case failed(PostgresError)
    }

    private enum State {
        case new
        case waiting(CheckedContinuation<Answer, Never>)
        case answered(Answer)
        case told
    }

    let statement: Statement
    private let state = Mutex(State.new)

    init(_ statement: Statement) { self.statement = statement }

    var isAnswered: Bool {
        state.withLock {
            switch $0 {
            case .new, .waiting: false
            case .answered, .told: true
            }
        }
    }

    func wait(_ continuation: CheckedContinuation<Answer, Never>) {
        let early = state.withLock { state -> Answer? in
            guard case .answered(let answer) = state else {
                state = .waiting(continuation)
                return nil
            }
            state = .told
            return answer
        }
        if let early { continuation.resume(returning: early) }
    }

    func answer(_ answer: Answer) {
        let waiter = state.withLock { state -> CheckedContinuation<Answer, Never>? in
            switch state {
            case .new: state = .answered(answer)
            case .waiting(let continuation):
                state = .told
                return continuation
            case .answered, .told: break
            }
            return nil
        }
        waiter?.resume(returning: answer)
    }
}
