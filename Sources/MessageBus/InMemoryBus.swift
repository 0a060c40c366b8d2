package import FoundationEssentials
package import Primitives

/// A connection to an ``InMemoryBroker``: the stand-in for the broker's adapter.
package final class InMemoryBus: MessageBus {
    private let broker: InMemoryBroker
    private let place: InMemoryBroker.Place
    private let connection: Int

    init(broker: InMemoryBroker, place: InMemoryBroker.Place, connection: Int) {
        self.broker = broker
        self.place = place
        self.connection = connection
    }

    deinit { place.access { $0.removeConnection(connection) } }

    /// How long ``declare(_:)`` waits for a broker that can't be reached.
    package static let declareTimeout = Duration.seconds(30)

    package func declare(_ topology: BusTopology) async throws(BusError) {
        try BusLimits.check(topology)
        try await whenReachable(within: Self.declareTimeout, "declare") { [connection] host throws(BusError) in
            try host.declare(topology, connection: connection)
        }
    }

    package func publish(
        _ envelope: Envelope, to address: BusAddress, mandatory: Bool, timeout: Duration
    ) async throws(BusError) {
        try BusLimits.check(envelope, to: address)
        let number = try place.access { $0.enter(connection) }.get()
        defer { place.access { $0.leave(connection, number) } }
        let what = "publish to exchange \"\(address.exchange)\", key \"\(address.routingKey)\""
        let isRouted = try await whenReachable(within: timeout, what) { host throws(BusError) in
            try host.route(envelope, to: address)
        }
        guard isRouted || !mandatory else {
            throw .unroutable("exchange \"\(address.exchange)\", key \"\(address.routingKey)\"")
        }
    }

    package func consume(
        queue: String, prefetch: Int, handler: @escaping @Sendable (BusDelivery) async -> Disposition
    ) async throws(BusError) {
        try await receive(queue: queue, prefetch: prefetch) { [broker] held in
            let (envelope, address) = (held.message.content.envelope, held.message.content.address)
            if let deadline = envelope.deadline, deadline <= broker.wallClock.now() { return (.acknowledge, nil) }
            let delivery = BusDelivery(
                envelope: envelope, exchange: address.exchange, routingKey: address.routingKey,
                isRedelivered: held.message.isRedelivered)
            return (await handler(delivery), nil)
        }
    }

    package func call(
        _ envelope: Envelope, queue: String, timeout: Duration, unless ring: NextRing?
    ) async throws(BusError) -> Envelope {
        let address = BusAddress(exchange: "", routingKey: queue)
        try BusLimits.check(envelope, to: address)
        if Task.isCancelled { throw .cancelled }
        var request = envelope
        request.deadline = envelope.callDeadline(within: timeout, now: broker.wallClock.now())
        let answer = Mailbox<Result<Envelope, BusError>>()
        let ticket = ring?.call { answer.push(.failure(.calledOff)) }
        defer { ring?.forget(ticket) }
        let send = {
            @Sendable [connection, request] (host: inout InMemoryBroker.VirtualHost, call: Int) throws(BusError) in
            try host.call(call, request, to: address, from: connection, answer)
        }
        let start = place.access { host -> Result<(call: Int, sent: Result<Void, BusError>?), BusError> in
            host.enter(connection).map { call in
                (call, host.attempt(on: connection) { host throws(BusError) in try send(&host, call) })
            }
        }
        let (call, sent) = try start.get()
        defer { place.access { $0.leave(connection, call) } }
        let what = "call to queue \"\(queue)\""
        if let sent {
            try sent.get()
            return try await self.answer(answer, within: timeout, what)
        }
        return try await withTimeLimit(timeout, what, unless: ring) { [self] in
            try await whenReachable { host throws(BusError) in try send(&host, call) }
            guard let outcome = await answer.next() else { throw BusError.cancelled }
            return try outcome.get()
        }
    }

    /// Waits for the answer to what was sent.
    private func answer(
        _ answer: Mailbox<Result<Envelope, BusError>>, within timeout: Duration, _ what: String
    ) async throws(BusError) -> Envelope {
        let outcome: Result<Envelope, BusError>?
        if let timekeeper = broker.timekeeper {
            let ticket = timekeeper.at(timekeeper.now.advanced(by: timeout)) { [self] in
                answer.push(.failure(timedOut(what)))
            }
            outcome = await answer.next()
            timekeeper.forget(ticket)
        } else {
            outcome = await answerOrTime(answer, timeout, what)
        }
        guard let outcome else { throw .cancelled }
        return try outcome.get()
    }

    /// With a task for the time, and none for the waiting.
    private func answerOrTime(
        _ answer: Mailbox<Result<Envelope, BusError>>, _ timeout: Duration, _ what: String
    ) async -> Result<Envelope, BusError>? {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { [self] in
                do {
                    try await broker.clock.sleep(for: timeout)
                    answer.push(.failure(timedOut(what)))
                } catch {
                    // Cancelled: the answer has come.
                }
            }
            defer { group.cancelAll() }
            return await answer.next()
        }
    }

    private func timedOut(_ what: String) -> BusError {
        isConnected ? .timedOut(what) : .disconnected("\(what): the broker is out of reach")
    }

    package func serve(
        queue: String, concurrency: Int, handler: @escaping @Sendable (Envelope) async -> Envelope?
    ) async throws(BusError) {
        try await receive(queue: queue, prefetch: concurrency) { [broker] held in
            let request = held.message.content.envelope
            if let deadline = request.deadline, deadline <= broker.wallClock.now() { return (.acknowledge, nil) }
            guard let answer = await handler(request) else { return (.retry, nil) }
            return (.acknowledge, answer)
        }
    }

    package var isConnected: Bool {
        place.access { $0.isReachable && $0.connections[connection] != nil }
    }

    package func close() async {
        place.access { $0.removeConnection(connection) }
    }

    // MARK: -

    private func receive(
        queue: String, prefetch: Int,
        _ handle: @escaping @Sendable (InMemoryBroker.Held) async -> (Disposition, answer: Envelope?)
    ) async throws(BusError) {
        precondition((1...BusLimits.prefetch).contains(prefetch), "a consumer needs 1...65535 messages in hand")
        let mailbox = Mailbox<InMemoryBroker.Held>()
        let number: Int
        do {
            number = try await whenReachable { host throws(BusError) in
                try host.addConsumer(queue: queue, connection: connection, prefetch: prefetch, mailbox: mailbox)
            }
        } catch .cancelled {
            return
        }
        await mailbox.forEach(limit: prefetch) { [place] held in
            let (disposition, answer) = await handle(held)
            place.access { $0.settle(held, disposition, answer: answer) }
        }
        place.access { $0.removeConsumer(number) }
        if let failure = mailbox.failure { throw failure }
    }

    /// Runs `body` on the virtual host: at once, or when it can be reached again within `timeout`.
    private func whenReachable<Value: Sendable>(
        within timeout: Duration, _ what: String,
        _ body: @escaping @Sendable (inout InMemoryBroker.VirtualHost) throws(BusError) -> Value
    ) async throws(BusError) -> Value {
        if Task.isCancelled { throw .cancelled }
        if let outcome = place.access({ $0.attempt(on: connection, body) }) { return try outcome.get() }
        return try await withTimeLimit(timeout, what) { [self] in try await whenReachable(body) }
    }

    private func whenReachable<Value: Sendable>(
        _ body: (inout InMemoryBroker.VirtualHost) throws(BusError) -> Value
    ) async throws(BusError) -> Value {
        while true {
            if Task.isCancelled { throw .cancelled }
            let waiter = Mailbox<Void>()
            let (number, outcome) = place.access { host in
                let number = host.nextNumber()
                return (number, host.attempt(on: connection, waiter: (number, waiter), body))
            }
            if let outcome { return try outcome.get() }
            let isReachable = await waiter.next() != nil
            place.access { $0.connections[connection]?.waiters[number] = nil }
            guard isReachable else { throw waiter.failure ?? .cancelled }
        }
    }

    private func withTimeLimit<Value: Sendable>(
        _ timeout: Duration, _ what: String, unless ring: NextRing? = nil,
        _ body: @escaping @Sendable () async throws -> Value
    ) async throws(BusError) -> Value {
        let clock = broker.clock
        let outcome = await withTaskGroup(of: Result<Value, BusError>?.self) { group in
            group.addTask {
                do {
                    return .success(try await body())
                } catch let error as BusError {
                    return .failure(error)
                } catch {
                    return .failure(.cancelled)
                }
            }
            group.addTask { [self] in
                do {
                    try await clock.sleep(for: timeout)
                } catch {
                    return nil
                }
                return .failure(timedOut(what))
            }
            if let ring {
                group.addTask {
                    await ring.wait()
                    return ring.hasCome ? .failure(.calledOff) : nil
                }
            }
            var first: Result<Value, BusError>?
            while first == nil, let next = await group.next() { first = next }
            group.cancelAll()
            return first
        }
        guard let outcome else { throw .cancelled }
        return try outcome.get()
    }
}

extension Envelope {
    /// When whoever calls with this envelope stops waiting: its own deadline or `timeout` from `now`, whichever is first.
    package func callDeadline(within timeout: Duration, now: Date) -> Date {
        let limit = now.addingTimeInterval(timeout / .seconds(1))
        return deadline.map { min($0, limit) } ?? limit
    }
}
