import DequeModule

extension InMemoryBroker.VirtualHost {
    mutating func addConnection() -> Int {
        let number = nextNumber()
        connections[number] = InMemoryBroker.Connection()
        return number
    }

    /// Ends a connection with everything that waits on it, and its exclusive queues.
    mutating func removeConnection(_ number: Int) {
        guard let connection = connections.removeValue(forKey: number) else { return }
        for key in connection.calls.keys.sorted() { give(.failure(.closed), to: connection.calls[key]) }
        for key in connection.waiters.keys.sorted() { connection.waiters[key]?.finish(.closed) }
        for key in consumers.keys.sorted() where consumers[key]?.connection == number {
            removeConsumer(key, failure: .closed)
        }
        for (name, queue) in queues where queue.owner == number {
            queues[name] = nil
            bindings.removeAll { $0.queue == name }
        }
    }

    mutating func setReachable(_ reachable: Bool) {
        guard reachable != isReachable else { return }
        isReachable = reachable
        if reachable {
            for number in connections.keys.sorted() {
                guard let waiters = connections[number]?.waiters else { continue }
                connections[number]?.waiters = [:]
                for key in waiters.keys.sorted() { give((), to: waiters[key]) }
            }
            for name in queues.keys.sorted() { dispatch(name) }
        } else {
            for number in connections.keys.sorted() {
                guard let calls = connections[number]?.calls else { continue }
                connections[number]?.calls = [:]
                for key in calls.keys.sorted() {
                    give(.failure(.disconnected("the connection was lost during the call")), to: calls[key])
                }
            }
            for key in consumers.keys.sorted() { takeBack(from: key) }
        }
    }

    mutating func declare(_ topology: BusTopology, connection: Int) throws(BusError) {
        for exchange in topology.exchanges {
            if let kind = exchanges[exchange.name], kind != exchange.kind {
                throw .refused(code: 406, "exchange \"\(exchange.name)\" exists as \(kind.rawValue)")
            }
            exchanges[exchange.name] = exchange.kind
        }
        for queue in topology.queues {
            if let existing = queues[queue.name] {
                try checkOwner(of: existing, connection: connection)
                guard existing.declaration == queue else {
                    throw .refused(code: 406, "queue \"\(queue.name)\" exists with other properties")
                }
            } else {
                let owner = queue.life == .exclusive ? connection : nil
                queues[queue.name] = InMemoryBroker.Queue(declaration: queue, owner: owner)
            }
        }
        for binding in topology.bindings {
            guard exchanges[binding.exchange] != nil else {
                throw .refused(code: 404, "no exchange \"\(binding.exchange)\"")
            }
            guard let queue = queues[binding.queue] else {
                throw .refused(code: 404, "no queue \"\(binding.queue)\"")
            }
            try checkOwner(of: queue, connection: connection)
            if !bindings.contains(binding) { bindings.append(binding) }
        }
    }

    // MARK: What connections do

    /// Another publish or call is under way, whose number it is told; until ``leave(_:_:)``.
    mutating func enter(_ connection: Int) -> Result<Int, BusError> {
        if connections[connection]?.inFlight == BusLimits.publishesInFlight {
            let limit = BusLimits.publishesInFlight
            return .failure(.tooManyInFlight("\(limit) publishes and calls on one connection"))
        }
        connections[connection]?.inFlight += 1
        return .success(nextNumber())
    }

    mutating func leave(_ connection: Int, _ number: Int) {
        connections[connection]?.inFlight -= 1
        connections[connection]?.calls[number] = nil
    }

    /// Runs `body` now, or notes the waiter and answers `nil` when nothing can be reached.
    mutating func attempt<Value>(
        on connection: Int, waiter: (number: Int, mailbox: Mailbox<Void>)? = nil,
        _ body: (inout Self) throws(BusError) -> Value
    ) -> Result<Value, BusError>? {
        guard connections[connection] != nil else { return .failure(.closed) }
        guard isReachable else {
            if let waiter { connections[connection]?.waiters[waiter.number] = waiter.mailbox }
            return nil
        }
        do throws(BusError) {
            return .success(try body(&self))
        } catch {
            return .failure(error)
        }
    }

    /// Sends a call, and keeps where its answer goes.
    mutating func call(
        _ number: Int, _ request: Envelope, to address: BusAddress, from connection: Int,
        _ answer: Mailbox<Result<Envelope, BusError>>
    ) throws(BusError) {
        connections[connection]?.calls[number] = answer
        let replyTo = InMemoryBroker.Message.ReplyTo(connection: connection, call: number)
        guard try route(request, to: address, replyTo: replyTo) else {
            throw .unroutable("no queue \"\(address.routingKey)\"")
        }
    }

    /// Puts a message into every queue that takes it. Returns whether there was one.
    mutating func route(
        _ envelope: Envelope, to address: BusAddress, replyTo: InMemoryBroker.Message.ReplyTo? = nil
    ) throws(BusError) -> Bool {
        let names = try targets(of: address)
        let content = InMemoryBroker.Message.Content(envelope: envelope, address: address, replyTo: replyTo)
        for name in names {
            let message = InMemoryBroker.Message(sequence: nextNumber(), content: content)
            queues[name]?.messages.append(message)
            dispatch(name)
            dropOldest(of: name)
        }
        return !names.isEmpty
    }

    mutating func addConsumer(
        queue name: String, connection: Int, prefetch: Int, mailbox: Mailbox<InMemoryBroker.Held>
    ) throws(BusError) -> Int {
        guard let queue = queues[name] else { throw .refused(code: 404, "no queue \"\(name)\"") }
        try checkOwner(of: queue, connection: connection)
        guard consumers.values.count(where: { $0.connection == connection }) < BusLimits.consumers else {
            throw .tooManyInFlight("\(BusLimits.consumers) consumers on one connection")
        }
        let number = nextNumber()
        consumers[number] = InMemoryBroker.Consumer(
            connection: connection, queue: name, prefetch: prefetch, mailbox: mailbox)
        queues[name]?.consumers.append(number)
        dispatch(name)
        return number
    }

    /// Ends a consumer; what it has in hand goes back to the queue.
    mutating func removeConsumer(_ number: Int, failure: BusError? = nil) {
        takeBack(from: number)
        guard let consumer = consumers.removeValue(forKey: number) else { return }
        consumer.mailbox.finish(failure)
        queues[consumer.queue]?.consumers.removeAll { $0 == number }
        dispatch(consumer.queue)
    }

    /// Carries out what a handler decided, its answer first. A message that is no longer in that consumer's hand is left
    /// alone.
    mutating func settle(_ held: InMemoryBroker.Held, _ disposition: Disposition, answer: Envelope?) {
        if let answer, let replyTo = held.message.content.replyTo { self.answer(replyTo, with: answer) }
        guard let queue = consumers[held.consumer]?.queue,
            let message = consumers[held.consumer]?.inHand.removeValue(forKey: held.message.sequence)
        else { return }
        if disposition == .retry { putBack([message], into: queue) }
        dispatch(queue)
    }

    /// Hands an answer to the call that waits for it, if it still does.
    private mutating func answer(_ replyTo: InMemoryBroker.Message.ReplyTo, with envelope: Envelope) {
        give(.success(envelope), to: connections[replyTo.connection]?.calls.removeValue(forKey: replyTo.call))
    }

    // MARK: -

    private mutating func give<Element>(_ element: Element, to mailbox: Mailbox<Element>?) {
        if let wake = mailbox?.put(element) { wakes.append(wake) }
    }

    private func checkOwner(of queue: InMemoryBroker.Queue, connection: Int) throws(BusError) {
        guard queue.owner == nil || queue.owner == connection else {
            throw .refused(code: 405, "queue \"\(queue.declaration.name)\" belongs to another connection")
        }
    }

    /// The queues that take a message, each once, in the order in which they were bound.
    private func targets(of address: BusAddress) throws(BusError) -> [String] {
        if address.exchange.isEmpty { return queues[address.routingKey] == nil ? [] : [address.routingKey] }
        guard let kind = exchanges[address.exchange] else {
            throw .refused(code: 404, "no exchange \"\(address.exchange)\"")
        }
        var names: [String] = []
        for binding in bindings where binding.exchange == address.exchange && !names.contains(binding.queue) {
            let isMatch =
                switch kind {
                case .direct: binding.pattern == address.routingKey
                case .topic: TopicPattern(binding.pattern).matches(address.routingKey)
                case .fanout: true
                }
            if isMatch { names.append(binding.queue) }
        }
        return names
    }

    /// Gives waiting messages to consumers that have a hand free, in turn.
    private mutating func dispatch(_ name: String) {
        guard isReachable else { return }
        while let place = placeOfFreeConsumer(of: name),
            let message = queues[name]?.messages.popFirst(),
            let number = queues[name]?.consumers.remove(at: place)
        {
            queues[name]?.consumers.append(number)
            consumers[number]?.inHand[message.sequence] = message
            give(InMemoryBroker.Held(consumer: number, message: message), to: consumers[number]?.mailbox)
        }
    }

    /// Holds no copy of the queue when it returns: whoever changes one of two copies copies all of it.
    private func placeOfFreeConsumer(of name: String) -> Int? {
        guard queues[name]?.messages.isEmpty == false else { return nil }
        return queues[name]?.consumers.firstIndex { number in
            consumers[number].map { $0.inHand.count < $0.prefetch } ?? false
        }
    }

    private mutating func takeBack(from number: Int) {
        guard let consumer = consumers[number] else { return }
        consumer.mailbox.clear()
        consumers[number]?.inHand = [:]
        putBack(Array(consumer.inHand.values), into: consumer.queue)
    }

    private mutating func putBack(_ messages: [InMemoryBroker.Message], into name: String) {
        for var message in messages.sorted(by: { $0.sequence < $1.sequence }) {
            message.isRedelivered = true
            guard let waiting = queues[name]?.messages else { return }
            let place = waiting.firstIndex { $0.sequence > message.sequence } ?? waiting.endIndex
            queues[name]?.messages.insert(message, at: place)
        }
        dropOldest(of: name)
    }

    private mutating func dropOldest(of name: String) {
        guard let queue = queues[name] else { return }
        let excess = queue.messages.count - queue.declaration.lengthLimit
        if excess > 0 { queues[name]?.messages.removeFirst(excess) }
    }
}
