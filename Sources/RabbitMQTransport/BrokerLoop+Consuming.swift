import FoundationEssentials
import MessageBus

/// Consumers, each on a channel of its own: closing it gives everything back that was not settled.
extension BrokerLoop {
    final class Consumer {
        /// How long after losing a consumer that worked before it is tried again.
        static let retryPause = Duration.seconds(1)

        enum Phase {
            case idle(retryAt: MonotonicTime)
            case opening
            case settingPrefetch
            case subscribing
            case active
            /// The channel's close is sent.
            case closing
        }

        let job: ConsumeJob
        var phase = Phase.idle(retryAt: .now)
        var channel: UInt16 = 0
        /// Another one for each channel it gets, so that late settlements are recognised.
        var generation: UInt64 = 0
        /// The queue was there once: if it is missing later, it is waited for.
        var wasActive = false
        var isStopping = false
        var endOperation: OperationID?

        init(_ job: ConsumeJob) { self.job = job }
    }

    func startConsumers(_ session: AMQPSession) throws(BusError) {
        for consumer in consumers.values {
            guard case .idle(let retryAt) = consumer.phase, retryAt <= .now, !consumer.isStopping else { continue }
            guard let channel = (Channel.firstConsumer...1_023).first(where: { consumerChannels[$0] == nil }) else {
                return
            }
            lastGeneration += 1
            consumer.generation = lastGeneration
            consumer.channel = channel
            consumer.phase = .opening
            consumerChannels[channel] = consumer.job.id
            try session.openChannel(channel)
        }
    }

    func advanceConsumer(on channel: UInt16, by method: AMQPMethod) throws(BusError) {
        guard let consumer = consumer(on: channel) else { return }
        switch (consumer.phase, method) {
        case (.opening, .channelOpened):
            consumer.phase = .settingPrefetch
            try session?.setPrefetch(consumer.job.prefetch, on: channel)
        case (.settingPrefetch, .prefetchSet):
            guard !consumer.isStopping else { return }
            consumer.phase = .subscribing
            try session?.consume(queue: consumer.job.queue, acknowledges: true, on: channel)
        case (.subscribing, .consuming):
            consumer.phase = .active
            consumer.wasActive = true
            if consumer.isStopping { try session?.cancelConsumer(on: channel) }
        case (.active, .consumerCancelled), (.subscribing, .consumerCancelled):
            core.notice(.consumerLost(queue: consumer.job.queue, detail: "the broker ended it"))
            consumer.phase = .closing
            try session?.closeChannel(channel)
        case (.closing, .channelCloseConfirmed): channelGone(consumer)
        default: break
        }
    }

    func receive(
        _ delivered: Delivered, _ header: ContentHeader, _ body: Data, _ excess: BusError?, on channel: UInt16
    ) throws(BusError) {
        guard let consumer = consumer(on: channel), !consumer.isStopping else { return }
        if case .closing = consumer.phase { return }
        if let excess {
            core.notice(.malformedMessage(queue: consumer.job.queue, detail: excess.description))
            try session?.settle(tag: delivered.tag, .reject, on: channel)
            return
        }
        consumer.job.mailbox.push(
            ReceivedMessage(
                reference: DeliveryReference(
                    consumer: consumer.job.id, generation: consumer.generation, tag: delivered.tag),
                isRedelivered: delivered.isRedelivered, exchange: delivered.exchange,
                routingKey: delivered.routingKey, correlationID: header.correlationID, replyTo: header.replyTo,
                expiration: header.expiration, envelopeHead: header.envelopeHead, body: body))
    }

    /// The broker closed a consumer's channel: its queue is missing, is someone else's, or may not be read.
    func consumerChannelClosed(_ channel: UInt16, _ refusal: BusError) {
        guard let consumer = consumer(on: channel) else { return }
        let isForbidden = if case .refused(403, _) = refusal { true } else { false }
        if consumer.wasActive, !isForbidden {
            core.notice(.consumerLost(queue: consumer.job.queue, detail: refusal.description))
        } else {
            consumer.isStopping = true
            consumer.job.mailbox.finish(refusal)
        }
        channelGone(consumer)
    }

    func loseConsumers() {
        consumerChannels = [:]
        for consumer in Array(consumers.values) {
            consumer.job.mailbox.clear()
            consumer.phase = .idle(retryAt: .now)
            if consumer.endOperation != nil { remove(consumer) }
        }
    }

    // MARK: - What users ask

    func stopConsumer(_ id: ConsumerID) {
        guard let consumer = consumers[id], !consumer.isStopping else { return }
        consumer.isStopping = true
        guard case .active = consumer.phase else { return }
        attempt { session throws(BusError) in try session.cancelConsumer(on: consumer.channel) }
    }

    func endConsumer(_ id: ConsumerID, _ operation: OperationID) {
        guard let consumer = consumers[id] else {
            core.complete(operation, .success(.done))
            return
        }
        consumer.isStopping = true
        consumer.endOperation = operation
        switch consumer.phase {
        case .idle: remove(consumer)
        case .closing: break
        case .opening, .settingPrefetch, .subscribing, .active:
            consumer.phase = .closing
            attempt { session throws(BusError) in try session.closeChannel(consumer.channel) }
        }
    }

    func settle(_ reference: DeliveryReference, _ disposition: Disposition) {
        guard let consumer = settleable(reference) else { return }
        attempt { session throws(BusError) in
            try session.settle(tag: reference.tag, disposition, on: consumer.channel)
        }
    }

    /// Answers calls on the channel they came through, each before its acknowledgement.
    func sendAnswers(_ session: AMQPSession) throws(BusError) {
        guard !heldAnswers.isEmpty else { return }
        let answers = heldAnswers
        heldAnswers = []
        for (reference, message, replyTo) in answers {
            guard let consumer = settleable(reference) else { continue }
            try checkHeartbeat()
            try session.publish(
                message, to: BusAddress(exchange: "", routingKey: replyTo), mandatory: false, on: consumer.channel)
            try session.settle(tag: reference.tag, .acknowledge, on: consumer.channel)
        }
    }

    // MARK: -

    private func consumer(on channel: UInt16) -> Consumer? {
        consumerChannels[channel].flatMap { consumers[$0] }
    }

    /// The consumer that holds this delivery, unless its channel is gone and the delivery with it.
    private func settleable(_ reference: DeliveryReference) -> Consumer? {
        guard let consumer = consumers[reference.consumer], consumer.generation == reference.generation,
            case .active = consumer.phase
        else { return nil }
        return consumer
    }

    private func channelGone(_ consumer: Consumer) {
        consumerChannels[consumer.channel] = nil
        consumer.job.mailbox.clear()
        consumer.phase = .idle(retryAt: .now + Consumer.retryPause)
        if consumer.endOperation != nil { remove(consumer) }
    }

    private func remove(_ consumer: Consumer) {
        consumers[consumer.job.id] = nil
        if let operation = consumer.endOperation { core.complete(operation, .success(.done)) }
    }
}
