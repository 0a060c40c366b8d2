import DequeModule
import FoundationEssentials
import MessageBus

/// Calls over direct reply-to: requests and their answers share a channel, which has no acknowledgements.
extension BrokerLoop {
    struct Calling {
        static let replyQueue = "amq.rabbitmq.reply-to"

        var phase = ChannelPhase.closed
        var waiting: Deque<CallJob> = []
        /// Sent and not answered.
        var sent: [OperationID: CallJob] = [:]
    }

    /// Answers to what was sent can't come any more, and whether it was carried out is not known: its callers decide.
    func loseCalls(_ failure: BusError) {
        let sent = calling.sent.values
        calling.sent = [:]
        calling.phase = .closed
        for job in sent { finish(job, .failure(failure)) }
    }

    func forgetCalls(_ operations: Set<OperationID>) {
        for job in calling.waiting where operations.contains(job.id) { core.release(job) }
        calling.waiting.removeAll { operations.contains($0.id) }
        for id in operations {
            if let job = calling.sent.removeValue(forKey: id) { core.release(job) }
        }
    }

    func sendCalls(_ session: AMQPSession) throws(BusError) {
        guard !calling.waiting.isEmpty else { return }
        switch calling.phase {
        case .closed:
            try session.openChannel(Channel.call)
            calling.phase = .opening
        case .opening, .preparing: return
        case .ready:
            for _ in 0..<Self.messagesPerTurn {
                try checkHeartbeat()
                guard let job = calling.waiting.popFirst() else { return }
                try send(job, session)
            }
            hasMoreToDo = true
        }
    }

    private func send(_ job: CallJob, _ session: AMQPSession) throws(BusError) {
        let remaining = job.deadline.since(.now)
        guard core.isWanted(job.id), remaining > .zero else {
            core.release(job)
            return
        }
        var message = job.message
        message.correlationID = String(job.id)
        message.replyTo = Calling.replyQueue
        message.expiration = remaining
        calling.sent[job.id] = job
        try session.publish(
            message, to: BusAddress(exchange: "", routingKey: job.queue), mandatory: true, on: Channel.call)
    }

    func advanceCalling(by method: AMQPMethod) throws(BusError) {
        switch method {
        case .channelOpened:
            calling.phase = .preparing
            try session?.consume(queue: Calling.replyQueue, acknowledges: false, on: Channel.call)
        case .consuming: calling.phase = .ready
        default: break
        }
    }

    func answered(_ header: ContentHeader, _ body: Data, _ excess: BusError?) {
        guard let id = header.correlationID.flatMap(OperationID.init),
            let job = calling.sent.removeValue(forKey: id)
        else { return }
        finish(job, excess.map { .failure($0) } ?? .success(.reply(envelopeHead: header.envelopeHead, body: body)))
    }

    func callReturned(_ id: OperationID, _ reason: String) {
        guard let job = calling.sent.removeValue(forKey: id) else { return }
        finish(job, .failure(.unroutable(reason)))
    }

    /// All requests go to the default exchange with the same properties, so a refusal is true for each of them.
    func callChannelClosed(_ refusal: BusError) {
        loseCalls(refusal)
        // The channel could not even be made ready: those who wait for it would wait in vain.
        let waiting = calling.waiting
        calling.waiting = []
        for job in waiting { finish(job, .failure(refusal)) }
    }

    private func finish(_ job: CallJob, _ result: Result<Outcome, BusError>) {
        core.release(job)
        core.complete(job.id, result)
    }
}
