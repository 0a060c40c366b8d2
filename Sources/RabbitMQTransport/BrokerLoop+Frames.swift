import FoundationEssentials
import MessageBus

extension BrokerLoop {
    /// A message whose frames are still arriving.
    struct IncomingMessage {
        enum Origin {
            case delivered(Delivered)
            case returned(reason: String)
        }

        let origin: Origin
        var header: ContentHeader?
        var body = Data()
        var received: UInt64 = 0
    }

    func handle(_ frame: AMQPFrame) throws(BusError) {
        switch frame {
        case .method(0, let method): try handleConnection(method)
        case .method(let channel, let method): try handle(method, on: channel)
        case .header(let channel, let header): try handle(header, on: channel)
        case .body(let channel, let fragment): try handle(fragment, on: channel)
        case .other: break
        }
    }

    private func handleConnection(_ method: AMQPMethod) throws(BusError) {
        switch method {
        case .connectionClosed(let code, let text):
            try session?.confirmConnectionClose()
            throw .disconnected("the message broker closed the connection (\(code)): \(text)")
        case .blocked(let reason):
            isBlocked = true
            core.notice(.blocked(reason: reason))
        case .unblocked:
            isBlocked = false
            core.notice(.unblocked)
        case .channelOpened, .channelCloseConfirmed, .channelClosed, .declared, .confirmsSelected, .prefetchSet,
            .consuming, .consumerCancelled, .delivered, .returned, .confirmed, .other:
            break
        }
    }

    private func handle(_ method: AMQPMethod, on channel: UInt16) throws(BusError) {
        switch method {
        case .delivered(let delivered): incoming[channel] = IncomingMessage(origin: .delivered(delivered))
        case .returned(let reason): incoming[channel] = IncomingMessage(origin: .returned(reason: reason))
        case .channelClosed(let code, let text):
            incoming[channel] = nil
            try session?.confirmChannelClose(channel)
            channelClosed(channel, .refused(code: code, text))
        case .confirmed(let tag, let multiple, let isPositive):
            confirm(tag, multiple: multiple, isPositive: isPositive)
        case .channelOpened, .channelCloseConfirmed, .declared, .confirmsSelected, .prefetchSet, .consuming,
            .consumerCancelled:
            try advance(channel, by: method)
        case .connectionClosed, .blocked, .unblocked, .other: break
        }
    }

    /// Takes the answer to a method that was sent on this channel.
    private func advance(_ channel: UInt16, by method: AMQPMethod) throws(BusError) {
        switch channel {
        case Channel.declare: advanceDeclaring(by: method)
        case Channel.publish: try advancePublishing(by: method)
        case Channel.call: try advanceCalling(by: method)
        default: try advanceConsumer(on: channel, by: method)
        }
    }

    private func channelClosed(_ channel: UInt16, _ refusal: BusError) {
        switch channel {
        case Channel.declare: declareChannelClosed(refusal)
        case Channel.publish: publishChannelClosed(refusal)
        case Channel.call: callChannelClosed(refusal)
        default: consumerChannelClosed(channel, refusal)
        }
    }

    private func handle(_ header: ContentHeader, on channel: UInt16) throws(BusError) {
        guard var message = incoming[channel] else { return }
        message.header = header
        if header.bodyBytes <= Envelope.bodyLimitBytes { message.body.reserveCapacity(Int(header.bodyBytes)) }
        incoming[channel] = message
        if header.bodyBytes == 0 { try finishMessage(on: channel) }
    }

    private func handle(_ fragment: Data, on channel: UInt16) throws(BusError) {
        guard let header = incoming[channel]?.header else { return }
        incoming[channel]?.received += UInt64(fragment.count)
        // Bytes past the limit are counted, so that the next message is found, but not kept.
        if header.bodyBytes <= Envelope.bodyLimitBytes { incoming[channel]?.body.append(fragment) }
        if let received = incoming[channel]?.received, received >= header.bodyBytes {
            try finishMessage(on: channel)
        }
    }

    private func finishMessage(on channel: UInt16) throws(BusError) {
        guard let message = incoming.removeValue(forKey: channel), let header = message.header else { return }
        let excess: BusError? =
            header.bodyBytes > Envelope.bodyLimitBytes
            ? .malformed("a body of \(header.bodyBytes) bytes, the limit is \(Envelope.bodyLimitBytes)") : nil
        switch message.origin {
        case .returned(let reason): messageReturned(header, reason: reason, on: channel)
        case .delivered where channel == Channel.call: answered(header, message.body, excess)
        case .delivered(let delivered):
            try receive(delivered, header, message.body, excess, on: channel)
        }
    }

    private func messageReturned(_ header: ContentHeader, reason: String, on channel: UInt16) {
        guard let id = header.correlationID.flatMap(OperationID.init) else { return }
        if channel == Channel.call { callReturned(id, reason) } else { publishReturned(id, reason) }
    }
}
