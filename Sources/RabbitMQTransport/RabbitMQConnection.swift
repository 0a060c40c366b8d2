import FoundationEssentials
package import MessageBus
package import Primitives

/// A connection to one virtual host of a RabbitMQ broker.
///
/// It connects in the background, at first and after every loss; operations wait for it within their time limits. Two
/// small threads serve it: one owns the C library's connection, one keeps the time limits and cuts the socket off
/// should the library not come back from a call.
package final class RabbitMQConnection: MessageBus {
    /// Enough for the library, for name resolution and for copying frames. Bodies are on the heap.
    private static let ownerStackBytes = 256 * 1024
    private static let timerStackBytes = 128 * 1024
    /// How long ``close()`` waits for the connection's orderly end.
    private static let closeLimit = Duration.seconds(3)
    /// How long the end of a consumer waits for the broker to have its messages back.
    private static let consumerEndLimit = Duration.seconds(2)
    /// How long a message that was delivered before is held back when its handler wants it again.
    private static let retryPause = Duration.milliseconds(100)

    /// Brokers refuse what is far larger (seconds).
    private static let longestExpiration: TimeInterval = 86_400

    private let core: ConnectionCore
    private let configuration: RabbitMQConfiguration
    private let clock: any Clock<Duration>
    private let wallClock: any WallClock

    /// Starts connecting and returns at once, also while the broker is away.
    /// - Parameter onNotice: is told what happens to the connection, from its thread: it must not block.
    /// - Throws: ``BusError/disconnected(_:)`` when the system has no thread or descriptor left.
    package init(
        _ configuration: RabbitMQConfiguration, clock: any Clock<Duration> = ContinuousClock(),
        wallClock: any WallClock = SystemWallClock(),
        onNotice: @escaping @Sendable (RabbitMQNotice) -> Void = { _ in }
    ) throws(BusError) {
        let core = try ConnectionCore(configuration: configuration, notice: onNotice)
        self.core = core
        self.configuration = configuration
        self.clock = clock
        self.wallClock = wallClock
        try NativeThread.start(name: "rabbitmq", stackBytes: Self.ownerStackBytes) { BrokerLoop(core: core).run() }
        do throws(BusError) {
            try NativeThread.start(name: "rabbitmq-timer", stackBytes: Self.timerStackBytes) { core.runTimer() }
        } catch {
            core.beginClosing()
            throw error
        }
    }

    deinit { core.beginClosing() }

    package var isConnected: Bool { core.isConnected }

    package func close() async {
        core.beginClosing()
        do throws(BusError) {
            _ = try await core.perform(
                .close, id: core.newID(), timeout: Self.closeLimit, isCancellable: false, nil)
        } catch {
            // It has ended already, which is what was wanted.
        }
    }

    package func declare(_ topology: BusTopology) async throws(BusError) {
        try BusLimits.check(topology)
        let id = core.newID()
        _ = try await core.perform(
            .declare, id: id, timeout: configuration.declareTimeout,
            .declare(DeclareJob(id: id, topology: topology)))
    }

    package func publish(
        _ envelope: Envelope, to address: BusAddress, mandatory: Bool, timeout: Duration
    ) async throws(BusError) {
        try BusLimits.check(envelope, to: address)
        let id = core.newID()
        var message = try Self.message(envelope)
        message.correlationID = String(id)
        message.expiration = expiration(of: envelope)
        message.isPersistent = configuration.keepsMessages
        _ = try await core.perform(
            .publish("exchange \"\(address.exchange)\", key \"\(address.routingKey)\""), id: id, timeout: timeout,
            bytes: envelope.body.count,
            .publish(PublishJob(id: id, address: address, isMandatory: mandatory, message: message)))
    }

    package func call(
        _ envelope: Envelope, queue: String, timeout: Duration, unless ring: NextRing?
    ) async throws(BusError) -> Envelope {
        try BusLimits.check(envelope, to: BusAddress(exchange: "", routingKey: queue))
        let now = wallClock.now()
        var request = envelope
        let deadline = envelope.callDeadline(within: timeout, now: now)
        request.deadline = deadline
        let limit = Duration.seconds(max(0, deadline.timeIntervalSince(now)))
        let id = core.newID()
        let job = CallJob(
            id: id, queue: queue, deadline: .now + limit, message: try Self.message(request))
        let outcome = try await core.perform(
            .call("queue \"\(queue)\""), id: id, timeout: limit, unless: ring, bytes: request.body.count, .call(job))
        guard case .reply(let head, let body) = outcome else { throw .malformed("an answer without an envelope") }
        return try EnvelopeCodec.decode(head: head, body: body)
    }

    package func consume(
        queue: String, prefetch: Int, handler: @escaping @Sendable (BusDelivery) async -> Disposition
    ) async throws(BusError) {
        try await receive(queue: queue, prefetch: prefetch) { [core, clock] message, envelope in
            let disposition = await handler(
                BusDelivery(
                    envelope: envelope, exchange: message.exchange, routingKey: message.routingKey,
                    isRedelivered: message.isRedelivered))
            if disposition == .retry { await Self.pauseBeforeRetry(message, clock) }
            core.submit(.settle(message.reference, disposition))
        }
    }

    /// A message that comes again and again takes its time.
    private static func pauseBeforeRetry(_ message: ReceivedMessage, _ clock: any Clock<Duration>) async {
        guard message.isRedelivered else { return }
        do {
            try await clock.sleep(for: retryPause)
        } catch {
            // Cancelled: it goes back at once.
        }
    }

    package func serve(
        queue: String, concurrency: Int, handler: @escaping @Sendable (Envelope) async -> Envelope?
    ) async throws(BusError) {
        try await receive(queue: queue, prefetch: concurrency) { [core, clock, wallClock] message, envelope in
            var envelope = envelope
            if let left = message.expiration {
                // Whoever asks may have another clock. What is late its broker has dropped.
                envelope.deadline = wallClock.now() + left / .seconds(1)
            } else if let deadline = envelope.deadline, deadline <= wallClock.now() {
                core.submit(.settle(message.reference, .acknowledge))
                return
            }
            guard let answer = await handler(envelope) else {
                await Self.pauseBeforeRetry(message, clock)
                core.submit(.settle(message.reference, .retry))
                return
            }
            guard let replyTo = message.replyTo else {
                core.submit(.settle(message.reference, .acknowledge))
                return
            }
            do throws(BusError) {
                try BusLimits.check(answer, to: BusAddress(exchange: "", routingKey: replyTo))
                var outgoing = try Self.message(answer)
                outgoing.correlationID = message.correlationID
                core.submit(.answer(message.reference, outgoing, replyTo: replyTo))
            } catch {
                core.notice(.malformedMessage(queue: queue, detail: "its answer can't be sent: \(error)"))
                core.submit(.settle(message.reference, .reject))
            }
        }
    }

    // MARK: -

    /// Receives until cancelled or refused. What can't be read is dropped with a notice.
    private func receive(
        queue: String, prefetch: Int, _ handle: @escaping @Sendable (ReceivedMessage, Envelope) async -> Void
    ) async throws(BusError) {
        precondition((1...BusLimits.prefetch).contains(prefetch), "a consumer needs 1...65535 messages in hand")
        try BusLimits.check(name: queue)
        let mailbox = Mailbox<ReceivedMessage>()
        let id = core.newID()
        try core.addConsumer(ConsumeJob(id: id, queue: queue, prefetch: prefetch, mailbox: mailbox))
        defer { core.removeConsumer(id) }
        await withTaskCancellationHandler {
            await mailbox.forEach(limit: prefetch) { [core] message in
                let envelope: Envelope
                do throws(BusError) {
                    envelope = try EnvelopeCodec.decode(head: message.envelopeHead, body: message.body)
                } catch {
                    core.notice(.malformedMessage(queue: queue, detail: error.description))
                    core.submit(.settle(message.reference, .reject))
                    return
                }
                await handle(message, envelope)
            }
        } onCancel: { [core] in
            core.submit(.stopConsumer(id))
        }
        let operation = core.newID()
        do throws(BusError) {
            _ = try await core.perform(
                .endConsumer, id: operation, timeout: Self.consumerEndLimit, isCancellable: false,
                .endConsumer(id, operation))
        } catch {
            // The connection has ended, and the consumer with it.
        }
        if let failure = mailbox.failure { throw failure }
    }

    /// What is past its deadline the broker drops. Nil for what has none, or one that is far away.
    private func expiration(of envelope: Envelope) -> Duration? {
        guard let left = envelope.deadline?.timeIntervalSince(wallClock.now()), left < Self.longestExpiration else {
            return nil
        }
        return .seconds(max(0, left))
    }

    private static func message(_ envelope: Envelope) throws(BusError) -> OutgoingMessage {
        OutgoingMessage(
            messageID: envelope.messageID.uuidString.lowercased(),
            envelopeHead: try EnvelopeCodec.encodeHead(of: envelope), body: envelope.body)
    }
}
