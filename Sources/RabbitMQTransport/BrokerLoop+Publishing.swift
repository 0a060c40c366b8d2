import DequeModule
import MessageBus

/// Publishing with confirms. What the broker has not confirmed when the connection is lost goes out again.
extension BrokerLoop {
    struct Publishing {
        var phase = ChannelPhase.closed
        var waiting: Deque<PublishJob> = []
        /// One of these made the broker close the channel. They go out one by one, so that the next refusal has a name.
        var suspects: Deque<PublishJob> = []
        /// Sent and not confirmed, by delivery tag.
        var unconfirmed: [UInt64: PublishJob] = [:]
        var tags: [OperationID: UInt64] = [:]
        /// Mandatory messages that came back, with the reason; the confirmation is still to come.
        var returned: [OperationID: String] = [:]
        var nextTag: UInt64 = 1
        var oldestTag: UInt64 = 1

        /// Forgets the channel. Returns what was unconfirmed, in the order in which it was sent.
        mutating func reset() -> [PublishJob] {
            let jobs = unconfirmed.sorted { $0.key < $1.key }.map(\.value)
            phase = .closed
            unconfirmed = [:]
            tags = [:]
            returned = [:]
            nextTag = 1
            oldestTag = 1
            return jobs
        }
    }

    func losePublishes() {
        let jobs = wanted(publishing.reset())
        publishing.waiting.prepend(contentsOf: jobs + publishing.suspects)
        publishing.suspects = []
    }

    /// Lets go of what nobody waits for any more.
    private func wanted(_ jobs: [PublishJob]) -> [PublishJob] {
        jobs.filter { job in
            if core.isWanted(job.id) { return true }
            core.release(job)
            return false
        }
    }

    func forgetPublishes(_ operations: Set<OperationID>) {
        for job in publishing.waiting where operations.contains(job.id) { core.release(job) }
        publishing.waiting.removeAll { operations.contains($0.id) }
        for job in publishing.suspects where operations.contains(job.id) { core.release(job) }
        publishing.suspects.removeAll { operations.contains($0.id) }
    }

    func sendPublishes(_ session: AMQPSession) throws(BusError) {
        guard !publishing.waiting.isEmpty || !publishing.suspects.isEmpty else { return }
        switch publishing.phase {
        case .closed:
            try session.openChannel(Channel.publish)
            publishing.phase = .opening
        case .opening, .preparing: return
        case .ready:
            if !publishing.suspects.isEmpty {
                try checkHeartbeat()
                while publishing.unconfirmed.isEmpty, let job = publishing.suspects.popFirst() {
                    try send(job, session)
                }
                return
            }
            for _ in 0..<Self.messagesPerTurn {
                try checkHeartbeat()
                guard let job = publishing.waiting.popFirst() else { return }
                try send(job, session)
            }
            hasMoreToDo = true
        }
    }

    private func send(_ job: PublishJob, _ session: AMQPSession) throws(BusError) {
        guard core.isWanted(job.id) else {
            core.release(job)
            return
        }
        // Noted first: should the connection break in the middle, it goes out again.
        let tag = publishing.nextTag
        publishing.nextTag += 1
        publishing.unconfirmed[tag] = job
        publishing.tags[job.id] = tag
        try session.publish(job.message, to: job.address, mandatory: job.isMandatory, on: Channel.publish)
    }

    func advancePublishing(by method: AMQPMethod) throws(BusError) {
        switch method {
        case .channelOpened:
            publishing.phase = .preparing
            try session?.selectConfirms(Channel.publish)
        case .confirmsSelected: publishing.phase = .ready
        default: break
        }
    }

    func confirm(_ tag: UInt64, multiple: Bool, isPositive: Bool) {
        if multiple {
            guard tag >= publishing.oldestTag else { return }
            for tag in publishing.oldestTag...tag { finishPublish(tag, isPositive: isPositive) }
            publishing.oldestTag = tag + 1
        } else {
            finishPublish(tag, isPositive: isPositive)
        }
    }

    func publishReturned(_ id: OperationID, _ reason: String) {
        if publishing.tags[id] != nil { publishing.returned[id] = reason }
    }

    private func finishPublish(_ tag: UInt64, isPositive: Bool) {
        guard let job = publishing.unconfirmed.removeValue(forKey: tag) else { return }
        publishing.tags[job.id] = nil
        let reason = publishing.returned.removeValue(forKey: job.id)
        core.release(job)
        if let reason {
            core.complete(job.id, .failure(.unroutable(reason)))
        } else if isPositive {
            core.complete(job.id, .success(.done))
        } else {
            core.complete(job.id, .failure(.refused(code: 541, "the broker could not take the message")))
        }
    }

    /// The broker refused one of the unconfirmed messages and threw the later ones away. It does not say which.
    func publishChannelClosed(_ refusal: BusError) {
        let jobs = publishing.reset()
        if jobs.count == 1, let job = jobs.first {
            core.release(job)
            core.complete(job.id, .failure(refusal))
        } else {
            publishing.suspects.prepend(contentsOf: wanted(jobs))
        }
    }
}
