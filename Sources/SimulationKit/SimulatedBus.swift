import FoundationEssentials
import MessageBus
import Primitives
import Synchronization

/// A process's connection to a virtual host, as the broker's adapter behaves: it connects again by itself, declares and
/// consumes again, and what was not confirmed may have arrived. On the way there messages get lost, late and doubled.
///
/// A message that was confirmed may be lost too: the broker is a transport and may lose all that it has.
final class SimulatedBus: MessageBus {
    private struct State {
        var connection: InMemoryBus?
        var declared: [BusTopology] = []
        var isClosed = false
    }

    private let broker: InMemoryBroker
    private let vhost: String
    private let machine: String
    private let fuse: Fuse
    private let weather: Weather
    private let clock: VirtualClock
    private let state = Mutex(State())

    init(
        broker: InMemoryBroker, vhost: String, machine: String, fuse: Fuse, weather: Weather, clock: VirtualClock
    ) {
        self.broker = broker
        self.vhost = vhost
        self.machine = machine
        self.fuse = fuse
        self.weather = weather
        self.clock = clock
    }

    var isConnected: Bool {
        !weather.isCut(machine, vhost) && state.withLock { $0.connection?.isConnected ?? !$0.isClosed }
    }

    func close() async {
        let connection = state.withLock { state in
            state.isClosed = true
            defer { state.connection = nil }
            return state.connection
        }
        await connection?.close()
    }

    /// The way to the broker is cut, or the process is dead: what it has in hand goes back.
    func drop() async {
        let connection = state.withLock { state in
            defer { state.connection = nil }
            return state.connection
        }
        await connection?.close()
    }

    func declare(_ topology: BusTopology) async throws(BusError) {
        try await pass()
        state.withLock { if !$0.declared.contains(topology) { $0.declared.append(topology) } }
        try await connected(within: InMemoryBus.declareTimeout).declare(topology)
        try await pass()
    }

    func publish(
        _ envelope: Envelope, to address: BusAddress, mandatory: Bool, timeout: Duration
    ) async throws(BusError) {
        try await pass()
        let fate = weather.fate(over: vhost)
        if case .late(let delay) = fate { try await pause(delay) }
        let connection = try await connected(within: timeout)
        switch fate {
        // Whoever wants to know whether there is a queue hears it.
        case .lost where !mandatory: return
        case .twice: try await connection.publish(envelope, to: address, mandatory: false, timeout: timeout)
        case .lost, .late, .plain, .unconfirmed: break
        }
        try await connection.publish(envelope, to: address, mandatory: mandatory, timeout: timeout)
        try await pass()
        if case .unconfirmed = fate {
            try await pause(timeout)
            throw .timedOut("no confirmation")
        }
    }

    func call(
        _ envelope: Envelope, queue: String, timeout: Duration, unless ring: NextRing?
    ) async throws(BusError) -> Envelope {
        guard let ring else { return try await call(envelope, queue: queue, within: timeout) }
        // The weather's pauses know nothing of alarms.
        let outcome = await withTaskGroup(of: Result<Envelope, BusError>?.self) { group in
            group.addTask { [self] in
                do throws(BusError) {
                    return .success(try await call(envelope, queue: queue, within: timeout))
                } catch {
                    return .failure(error)
                }
            }
            group.addTask {
                await ring.wait()
                return ring.hasCome ? .failure(.calledOff) : nil
            }
            var first: Result<Envelope, BusError>?
            while first == nil, let next = await group.next() { first = next }
            group.cancelAll()
            return first ?? .failure(.cancelled)
        }
        return try outcome.get()
    }

    private func call(
        _ envelope: Envelope, queue: String, within timeout: Duration
    ) async throws(BusError) -> Envelope {
        try await pass()
        let fate = weather.fate(over: vhost)
        switch fate {
        case .lost:
            try await pause(timeout)
            throw .timedOut("call to queue \"\(queue)\"")
        case .late(let delay): try await pause(min(delay, timeout))
        case .twice, .plain, .unconfirmed: break
        }
        let connection = try await connected(within: timeout)
        if case .twice = fate {
            try await connection.publish(
                envelope, to: BusAddress(exchange: "", routingKey: queue), mandatory: false, timeout: timeout)
        }
        let answer = try await connection.call(envelope, queue: queue, timeout: timeout)
        try await pass()
        if case .unconfirmed = fate {
            try await pause(timeout)
            throw .timedOut("the answer of queue \"\(queue)\"")
        }
        return answer
    }

    func consume(
        queue: String, prefetch: Int, handler: @escaping @Sendable (BusDelivery) async -> Disposition
    ) async throws(BusError) {
        try await receiving { (connection) async throws(BusError) in
            try await connection.consume(queue: queue, prefetch: prefetch) { [self] delivery in
                guard await isPassed() else { return .retry }
                let disposition = await handler(delivery)
                guard await isPassed() else { return .retry }
                // What was acknowledged comes again when the acknowledgement is lost.
                if case .unconfirmed = weather.fate(over: vhost) { return .retry }
                return disposition
            }
        }
    }

    func serve(
        queue: String, concurrency: Int, handler: @escaping @Sendable (Envelope) async -> Envelope?
    ) async throws(BusError) {
        try await receiving { (connection) async throws(BusError) in
            try await connection.serve(queue: queue, concurrency: concurrency) { [self] envelope in
                guard await isPassed() else { return nil }
                let answer = await handler(envelope)
                return await isPassed() ? answer : nil
            }
        }
    }

    // MARK: Connecting

    /// Receives on one connection after the other.
    private func receiving(
        _ body: @Sendable (InMemoryBus) async throws(BusError) -> Void
    ) async throws(BusError) {
        while !Task.isCancelled {
            try await pass()
            let connection = try await connected(within: nil)
            do throws(BusError) {
                return try await body(connection)
            } catch .closed where !state.withLock(\.isClosed) {
                continue
            }
        }
        throw .cancelled
    }

    /// The connection, made if there is none, once the way is whole.
    private func connected(within limit: Duration?) async throws(BusError) -> InMemoryBus {
        let end = limit.map { clock.now.advanced(by: $0) }
        while true {
            let rings = weather.changes.rings
            if Task.isCancelled { throw .cancelled }
            if !weather.isCut(machine, vhost) {
                if let connection = try await open() { return connection }
            } else if let end {
                // Those with a limit look now and then, which is as good as hearing of it.
                guard clock.now < end else { throw .disconnected("no way to \(vhost)") }
                try await pause(.milliseconds(200))
            } else {
                await weather.changes.wait(after: rings)
            }
        }
    }

    /// - Returns: nil when the connection was cut while everything was declared on it again.
    private func open() async throws(BusError) -> InMemoryBus? {
        let (connection, declared): (InMemoryBus, [BusTopology]) = try state.withLock { state throws(BusError) in
            guard !state.isClosed else { throw .closed }
            if let connection = state.connection { return (connection, []) }
            let connection = broker.connect(vhost: vhost)
            state.connection = connection
            return (connection, state.declared)
        }
        for topology in declared {
            do throws(BusError) {
                try await connection.declare(topology)
            } catch .closed {
                return nil
            }
        }
        return connection
    }

    // MARK: Time

    private func isPassed() async -> Bool {
        do {
            try await fuse.pass()
            return true
        } catch {
            return false
        }
    }

    private func pass() async throws(BusError) {
        guard await isPassed() else { throw .cancelled }
    }

    private func pause(_ duration: Duration) async throws(BusError) {
        do {
            try await clock.sleep(for: duration)
        } catch {
            throw .cancelled
        }
    }
}
