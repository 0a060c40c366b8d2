import DequeModule
import MessageBus

/// Declaring: one request at a time on its own channel. What succeeded is remembered and declared again after a
/// reconnect.
extension BrokerLoop {
    enum DeclareStep {
        case exchange(BusTopology.Exchange)
        case queue(BusTopology.Queue)
        case binding(BusTopology.Binding)
    }

    struct DeclareWork {
        /// `nil` for what is declared again after a reconnect.
        let id: OperationID?
        let topology: BusTopology
        let steps: [DeclareStep]
        var next = 0

        init(_ job: DeclareJob) {
            id = job.id
            topology = job.topology
            steps = Self.steps(of: job.topology)
        }

        init(again topology: BusTopology) {
            id = nil
            self.topology = topology
            steps = Self.steps(of: topology)
        }

        init(again steps: [DeclareStep]) {
            id = nil
            topology = BusTopology()
            self.steps = steps
        }

        private static func steps(of topology: BusTopology) -> [DeclareStep] {
            topology.exchanges.map { .exchange($0) } + topology.queues.map { .queue($0) }
                + topology.bindings.map { .binding($0) }
        }
    }

    struct Declaring {
        /// How often, and after how long, an exclusive queue is tried again that the lost connection still holds.
        static let lockedRetries = 40
        static let lockedPause = Duration.milliseconds(500)

        var phase = ChannelPhase.closed
        var waiting: Deque<DeclareWork> = []
        var current: DeclareWork?
        var isAwaitingAnswer = false
        var remembered = BusTopology()
        /// Steps that failed because the broker has not yet noticed the lost connection's end.
        var locked: [DeclareStep] = []
        var lockedAttempts = 0
        var retryAt: MonotonicTime?
    }

    func beginRestoring() {
        declaring.lockedAttempts = 0
        let work = DeclareWork(again: declaring.remembered)
        isRestored = work.steps.isEmpty
        if !isRestored { declaring.waiting.prepend(work) }
    }

    func loseDeclarations() {
        if let work = declaring.current, work.id != nil {
            var again = work
            again.next = 0
            declaring.waiting.prepend(again)
        }
        declaring.waiting.removeAll { $0.id == nil }
        declaring.current = nil
        declaring.isAwaitingAnswer = false
        declaring.phase = .closed
        declaring.locked = []
        declaring.retryAt = nil
    }

    func sendDeclarations(_ session: AMQPSession) throws(BusError) {
        if let time = declaring.retryAt, time <= .now {
            declaring.retryAt = nil
            declaring.waiting.prepend(DeclareWork(again: declaring.locked))
            declaring.locked = []
        }
        while declaring.current == nil, let work = declaring.waiting.popFirst() {
            if let id = work.id, !core.isWanted(id) { continue }
            declaring.current = work
            declaring.isAwaitingAnswer = false
            if work.steps.isEmpty { finishDeclaring(work) }
        }
        guard let work = declaring.current, !declaring.isAwaitingAnswer else { return }
        switch declaring.phase {
        case .closed:
            try session.openChannel(Channel.declare)
            declaring.phase = .opening
        case .opening, .preparing: return
        case .ready:
            declaring.isAwaitingAnswer = true
            switch work.steps[work.next] {
            case .exchange(let exchange): try session.declare(exchange, on: Channel.declare)
            case .queue(let queue):
                try session.declare(queue, type: core.configuration.queueType, on: Channel.declare)
            case .binding(let binding): try session.declare(binding, on: Channel.declare)
            }
        }
    }

    func advanceDeclaring(by method: AMQPMethod) {
        if case .channelOpened = method { declaring.phase = .ready }
        if case .declared = method, declaring.isAwaitingAnswer { finishDeclareStep() }
    }

    func declareChannelClosed(_ refusal: BusError) {
        declaring.phase = .closed
        guard let work = declaring.current, declaring.isAwaitingAnswer else { return }
        if let id = work.id {
            declaring.current = nil
            declaring.isAwaitingAnswer = false
            core.complete(id, .failure(refusal))
        } else {
            noteFailedStep(work.steps[work.next], refusal)
            finishDeclareStep()
        }
    }

    private func noteFailedStep(_ step: DeclareStep, _ refusal: BusError) {
        if case .refused(405, _) = refusal, declaring.lockedAttempts < Declaring.lockedRetries {
            declaring.locked.append(step)
        } else if case .binding = step, !declaring.locked.isEmpty {
            // Most likely a binding of the queue that is still locked.
            declaring.locked.append(step)
        } else {
            core.notice(.redeclareFailed(refusal))
        }
    }

    private func finishDeclareStep() {
        guard var work = declaring.current else { return }
        declaring.isAwaitingAnswer = false
        work.next += 1
        declaring.current = work
        if work.next == work.steps.count { finishDeclaring(work) }
    }

    private func finishDeclaring(_ work: DeclareWork) {
        declaring.current = nil
        guard let id = work.id else {
            isRestored = true
            if !declaring.locked.isEmpty {
                declaring.lockedAttempts += 1
                declaring.retryAt = .now + Declaring.lockedPause
            }
            return
        }
        declaring.remembered.merge(work.topology)
        core.complete(id, .success(.done))
    }
}

extension BusTopology {
    /// Adds what is not in it yet.
    mutating func merge(_ other: BusTopology) {
        exchanges += other.exchanges.filter { !exchanges.contains($0) }
        queues += other.queues.filter { !queues.contains($0) }
        bindings += other.bindings.filter { !bindings.contains($0) }
    }
}
