import CLibpq
import Synchronization

extension Connection {
    /// What was sent together and is answered together.
    struct Exchange {
        enum Step {
            case prepare(StatementCache.Key, name: String)
            case deallocate(name: String)
            case run
        }

        let id: UInt64
        var steps: ArraySlice<Step>
        var results: [ResultBox] = []
        var error: PostgresError?
        /// Statements that were not prepared after all; there is nothing to deallocate then.
        var unprepared: Set<String> = []
        /// The error is the server's word that a prepared plan no longer fits its tables.
        var planIsStale = false
        let completion: @Sendable (Answer) -> Void
        let timer: Reactor.Token?
        /// Before it was sent: the server begins to count no earlier.
        let startedAt: MonotonicTime
        var cancelRequested = false
        /// A cancel request is on its way to the server and could hit whatever runs next.
        var cancelInFlight = false
        var settled: Answer?
        var emptyReads = 0

        func answerWhenLost(_ error: PostgresError) -> Answer {
            settled ?? .failure(cancelRequested ? .cancelled : error)
        }
    }

    /// How an exchange may end early.
    struct Limits: Sendable {
        var cancellable = true
        /// Until the connection is dropped as dead; `nil` for no limit.
        var time: Duration?
    }

    /// The client's own limit: what the server should have enforced for each statement, and a grace.
    func timeLimit(statements count: Int) -> Duration? {
        configuration.statementTimeout.map { $0 * count + configuration.serverGrace }
    }

    /// Sends the statements in one go and waits for all answers. On an error the server skips what comes after it.
    func perform(_ statements: [Statement], _ limits: Limits) async -> Answer {
        let id = nextExchange.add(1, ordering: .relaxed).oldValue
        guard limits.cancellable else {
            return await withCheckedContinuation { continuation in
                submit(statements, id, limits) { continuation.resume(returning: $0) }
            }
        }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                submit(statements, id, limits) { continuation.resume(returning: $0) }
            }
        } onCancel: {
            cancel(id)
        }
    }

    func submit(
        _ statements: [Statement], _ id: UInt64, _ limits: Limits, completion: @escaping @Sendable (Answer) -> Void
    ) {
        if let failure = statements.lazy.compactMap(\.failure).first { return completion(.failure(failure)) }
        let refusal = state.withLock { state -> PostgresError? in
            if state.cancelledBeforeStart == id, limits.cancellable { return .cancelled }
            guard state.phase == .ready, let handle = state.handle else { return .connection("connection lost") }
            guard state.exchange == nil else { return .connection("connection already in use") }
            let startedAt = MonotonicTime.now()
            var steps: [Exchange.Step] = []
            steps.reserveCapacity(statements.count + 1)
            var sent = true
            for statement in statements where sent {
                sent = send(statement, on: handle, &state.cache, &steps)
            }
            guard sent, PQpipelineSync(handle.raw) == 1 else { return handle.connectionError() }
            let timer = limits.time.flatMap { time in
                reactor.schedule(startedAt.advanced(by: time)) { [weak self] in self?.expire(id) }
            }
            state.exchange = Exchange(
                id: id, steps: steps[...], completion: completion, timer: timer, startedAt: startedAt)
            state.transactionStatus = .unknown
            flush(&state, handle)
            return nil
        }
        guard let refusal else { return }
        completion(.failure(refusal))
        if refusal != .cancelled { fail(refusal) }
    }

    /// Asks the server to stop that exchange. It ends when the server says so, at the latest after a grace.
    func cancel(_ id: UInt64) {
        let request = state.withLock { state -> CancelHandle? in
            guard state.exchange?.id == id else {
                state.cancelledBeforeStart = id
                return nil
            }
            guard state.exchange?.cancelRequested == false, let handle = state.handle else { return nil }
            state.exchange?.cancelRequested = true
            guard let request = CancelHandle(handle) else { return nil }
            state.exchange?.cancelInFlight = true
            return request
        }
        guard let request else { return }
        let started = BlockingCall.start { [self] in
            request.request()
            cancelReturned(id)
        }
        let deadline = MonotonicTime.now().advanced(by: configuration.serverGrace)
        if !started || reactor.schedule(deadline, { [weak self] in self?.expire(id) }) == nil { expire(id) }
    }

    private func cancelReturned(_ id: UInt64) {
        let actions = state.withLock { state -> [Action] in
            guard state.exchange?.id == id else { return [] }
            state.exchange?.cancelInFlight = false
            guard let answer = state.exchange?.settled else { return [] }
            return complete(&state, answer)
        }
        for action in actions { action() }
    }

    /// The server has not answered in time: the session is of no use any more.
    private func expire(_ id: UInt64) {
        let actions = state.withLock { state in
            state.exchange?.id == id ? shutDown(&state, .timedOut) : []
        }
        for action in actions { action() }
    }

    /// Reads what arrived. Runs under the mutex.
    func receive(_ state: inout State) -> [Action] {
        guard let handle = state.handle else { return [] }
        let alive = state.exchange == nil ? handle.readWhileIdle() : handle.consumeInput()
        var actions = notifications(handle)
        if alive, state.wantsWrite { flush(&state, handle) }
        while state.exchange != nil, state.exchange?.settled == nil, PQisBusy(handle.raw) == 0 {
            if let raw = PQgetResult(handle.raw) {
                state.exchange?.emptyReads = 0
                actions += take(ResultBox(raw), handle, &state)
            } else {
                // One NULL ends each statement's results; two in a row mean that libpq has lost the thread.
                state.exchange?.emptyReads += 1
                if state.exchange?.emptyReads ?? 0 > 1 { break }
            }
        }
        let confused = state.exchange?.emptyReads ?? 0 > 1
        if !alive || confused || PQstatus(handle.raw) == CONNECTION_BAD {
            actions += shutDown(&state, state.exchange?.error ?? handle.connectionError())
        }
        return actions
    }

    private func take(_ result: ResultBox, _ handle: LibpqHandle, _ state: inout State) -> [Action] {
        let status = PQresultStatus(result.raw)
        if [PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH].contains(status) {
            // There is no way out of it but to end the session.
            return shutDown(&state, .encoding("COPY is not supported"))
        }
        if status == PGRES_PIPELINE_SYNC {
            state.transactionStatus = handle.transactionStatus
            return settle(&state)
        }
        guard let step = state.exchange?.steps.popFirst() else {
            // After the server's own last word libpq adds one of its own.
            return shutDown(&state, state.exchange?.error ?? .from(result.raw))
        }
        let worked = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK
        switch step {
        case .run where worked: state.exchange?.results.append(result)
        case .prepare(let key, let name) where !worked:
            state.cache.forget(key, name: name)
            state.exchange?.unprepared.insert(name)
        case .deallocate(let name) where !worked && state.exchange?.unprepared.contains(name) == false:
            state.cache.doom(name)
        case .run, .prepare, .deallocate: break
        }
        if !worked, status != PGRES_PIPELINE_ABORTED, state.exchange?.error == nil {
            let failure = PostgresError.refusal(result.raw, status)
            state.exchange?.error = failure
            // Somebody discarded what this side believes to be prepared: the session is of no use.
            if failure.sqlState == .invalidStatementName { state.isTainted = true }
            if failure.marksStalePlan(result.raw) {
                state.exchange?.planIsStale = true
                state.cache.doomAll()
            }
        }
        return []
    }

    private func settle(_ state: inout State) -> [Action] {
        guard let exchange = state.exchange else { return [] }
        var answer: Answer
        if let error = exchange.error {
            answer = .failure(explain(error, exchange))
        } else {
            answer = .success(exchange.results)
        }
        if exchange.planIsStale { answer = .failure(.stalePlan) }
        if exchange.cancelInFlight {
            state.exchange?.settled = answer
            return []
        }
        return complete(&state, answer)
    }

    private func complete(_ state: inout State, _ answer: Answer) -> [Action] {
        let exchange = state.exchange.take()
        return [
            { [self] in
                if let timer = exchange?.timer { reactor.cancelTimer(timer) }
                exchange?.completion(answer)
            }
        ]
    }

    /// The server says "cancelled" for three reasons; only the client knows which.
    private func explain(_ error: PostgresError, _ exchange: Exchange) -> PostgresError {
        guard error.sqlState == .queryCancelled else { return error }
        if exchange.cancelRequested { return .cancelled }
        guard let limit = configuration.statementTimeout else { return error }
        return MonotonicTime.now() >= exchange.startedAt.advanced(by: limit) ? .timedOut : error
    }

    /// Hands what is written to the system. That the connection is broken is found when it is next read.
    private func flush(_ state: inout State, _ handle: LibpqHandle) {
        let wantsWrite = PQflush(handle.raw) == 1
        if wantsWrite != state.wantsWrite, let token = state.token {
            state.wantsWrite = wantsWrite
            reactor.watch(PQsocket(handle.raw), token, wantsWrite ? .readWrite : .read)
        }
    }
}

extension PostgresError {
    /// A prepared statement's answer has another shape since a table was altered; preparing it again helps.
    static let stalePlan = PostgresError.server(
        sqlState: .featureNotSupported, message: "cached plan must not change result type", detail: nil, constraint: nil
    )

    static func refusal(_ result: OpaquePointer, _ status: ExecStatusType) -> PostgresError {
        status == PGRES_EMPTY_QUERY ? .encoding("an empty statement") : from(result)
    }

    func marksStalePlan(_ result: OpaquePointer) -> Bool {
        guard sqlState == .featureNotSupported, let function = PQresultErrorField(result, Self.functionField) else {
            return false
        }
        return String(cString: function) == "RevalidateCachedQuery"
    }
}

extension LibpqHandle {
    var transactionStatus: Connection.TransactionStatus {
        switch PQtransactionStatus(raw) {
        case PQTRANS_IDLE: .none
        case PQTRANS_INTRANS: .open
        case PQTRANS_INERROR: .failed
        default: .unknown
        }
    }
}
