package import Primitives

/// One connection to one virtual host: a cell's transport. The broker stores nothing that may not be lost (see ADR 0002).
///
/// Adapters: `RabbitMQTransport` for a broker, ``InMemoryBus`` for tests and simulations. Both pass one contract suite.
///
/// An adapter reconnects by itself with jittered back-off, declares again everything that was declared through it,
/// consumes again, and sends again what was not confirmed. So a message may arrive twice and never silently vanishes
/// while its sender lives: `publish` returns only when the broker has confirmed, or throws.
package protocol MessageBus: Sendable {
    /// Declares exchanges, queues and bindings; repeating it is harmless. They are declared again after a reconnect.
    func declare(_ topology: BusTopology) async throws(BusError)

    /// Sends one message and returns once the broker has confirmed it. What nobody has received by its deadline is dropped.
    /// - Throws: ``BusError/unroutable(_:)`` when `mandatory` and no queue is bound, ``BusError/timedOut(_:)`` when the
    ///   broker does not confirm within `timeout`.
    func publish(
        _ envelope: Envelope, to address: BusAddress, mandatory: Bool, timeout: Duration
    ) async throws(BusError)

    /// Receives from `queue` until cancelled, at most `prefetch` messages in hand at once, each handled concurrently.
    /// A message whose handler's task is lost is delivered again.
    func consume(
        queue: String, prefetch: Int, handler: @escaping @Sendable (BusDelivery) async -> Disposition
    ) async throws(BusError)

    /// Sends a request straight to `queue` and waits for the answer (direct reply-to).
    /// - Throws: ``BusError/timedOut(_:)`` when the answer has not come within `timeout`, ``BusError/unroutable(_:)``
    ///   when there is no such queue, ``BusError/disconnected(_:)`` when the connection was lost meanwhile.
    /// - Parameter ring: ends the wait as if its time were up: of an alarm for whoever knows that nobody will answer.
    func call(
        _ envelope: Envelope, queue: String, timeout: Duration, unless ring: NextRing?
    ) async throws(BusError) -> Envelope

    /// Answers calls that arrive at `queue` until cancelled, at most `concurrency` at once. Late calls are dropped, and the
    /// others' deadlines are told by this side's clock; one for which the handler has no answer, or whose handler's task is lost, goes to whoever else serves the queue.
    func serve(
        queue: String, concurrency: Int, handler: @escaping @Sendable (Envelope) async -> Envelope?
    ) async throws(BusError)

    /// Whether the connection is up at this moment: for health, not for deciding whether to send.
    var isConnected: Bool { get }

    /// Ends the connection in good order. Everything waiting gets ``BusError/closed``.
    func close() async
}

extension MessageBus {
    package func call(_ envelope: Envelope, queue: String, timeout: Duration) async throws(BusError) -> Envelope {
        try await call(envelope, queue: queue, timeout: timeout, unless: nil)
    }
}

/// Where a message goes: an exchange and a routing key. The empty exchange addresses a queue by its name.
package struct BusAddress: Sendable, Hashable {
    package let exchange: String
    package let routingKey: String

    package init(exchange: String, routingKey: String) {
        self.exchange = exchange
        self.routingKey = routingKey
    }
}

package struct BusDelivery: Sendable {
    package let envelope: Envelope
    package let exchange: String
    /// The key the broker let the sender use: the one statement about the sender that can be trusted (topic permissions).
    package let routingKey: String
    package let isRedelivered: Bool

    package init(envelope: Envelope, exchange: String, routingKey: String, isRedelivered: Bool) {
        self.envelope = envelope
        self.exchange = exchange
        self.routingKey = routingKey
        self.isRedelivered = isRedelivered
    }
}

/// What becomes of a received message.
package enum Disposition: Sendable, Equatable {
    /// Done with it.
    case acknowledge
    /// Deliver it again, soon.
    case retry
    /// Not ours to handle, and never will be: drop it.
    case reject
}

package struct BusTopology: Sendable, Equatable {
    package enum ExchangeKind: String, Sendable { case direct, topic, fanout }

    package struct Exchange: Sendable, Hashable {
        package let name: String
        package let kind: ExchangeKind
        package init(_ name: String, _ kind: ExchangeKind) {
            self.name = name
            self.kind = kind
        }
    }

    package struct Queue: Sendable, Hashable {
        package enum Life: Sendable, Hashable {
            /// Stays; survives a broker restart.
            case durable
            /// Goes with this connection.
            case exclusive
        }
        package let name: String
        package let life: Life
        /// Oldest messages are dropped beyond this many.
        package let lengthLimit: Int
        package init(_ name: String, life: Life = .durable, lengthLimit: Int = 100_000) {
            self.name = name
            self.life = life
            self.lengthLimit = lengthLimit
        }
    }

    package struct Binding: Sendable, Hashable {
        package let exchange: String
        package let queue: String
        package let pattern: String
        package init(exchange: String, queue: String, pattern: String) {
            self.exchange = exchange
            self.queue = queue
            self.pattern = pattern
        }
    }

    package var exchanges: [Exchange]
    package var queues: [Queue]
    package var bindings: [Binding]

    package init(exchanges: [Exchange] = [], queues: [Queue] = [], bindings: [Binding] = []) {
        self.exchanges = exchanges
        self.queues = queues
        self.bindings = bindings
    }
}

package enum BusError: Error, Sendable, Equatable, CustomStringConvertible {
    /// Not connected, or the connection was lost before the outcome was known.
    case disconnected(String)
    case timedOut(String)
    case unroutable(String)
    /// The broker refused: permissions, a clash with what exists, a missing queue. `code` is AMQP's reply code.
    case refused(code: Int, String)
    /// The message can't be read or is over a limit.
    case malformed(String)
    case tooManyInFlight(String)
    case closed
    case cancelled

    /// What a call ends with whose alarm has rung.
    package static let calledOff = BusError.timedOut("nobody will answer")

    package var description: String {
        switch self {
        case .disconnected(let detail): "not connected to the message broker: \(detail)"
        case .timedOut(let detail): "timed out: \(detail)"
        case .unroutable(let detail): "no queue takes this message: \(detail)"
        case .refused(let code, let detail): "the message broker refused (\(code)): \(detail)"
        case .malformed(let detail): "malformed message: \(detail)"
        case .tooManyInFlight(let detail): "too many messages in flight: \(detail)"
        case .closed: "the message bus connection is closed"
        case .cancelled: "cancelled"
        }
    }
}
