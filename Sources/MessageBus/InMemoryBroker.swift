import DequeModule
import FoundationEssentials
package import Primitives
import Synchronization

/// A message broker inside the process, for tests and simulations: virtual hosts that hand out ``InMemoryBus``
/// connections which behave as the real adapter's do.
///
/// Nothing in it depends on chance or on the order of a hash table, so a seeded simulation can replay a run.
package final class InMemoryBroker: Sendable {
    let clock: any Clock<Duration>
    let wallClock: any WallClock
    let timekeeper: Timekeeper?
    private let places = Mutex<[String: Place]>([:])

    /// - Parameter clock: measures every time limit of the connections; a timekeeper those of calls without a task for each.
    package init(clock: any Clock<Duration> = ContinuousClock(), wallClock: any WallClock = SystemWallClock()) {
        self.clock = clock
        timekeeper = clock as? Timekeeper
        self.wallClock = wallClock
    }

    /// A new connection to a virtual host, which comes into being with its first connection.
    package func connect(vhost: String = "/") -> InMemoryBus {
        let place = place(vhost)
        return InMemoryBus(broker: self, place: place, connection: place.access { $0.addConnection() })
    }

    /// A fault for tests: while a virtual host can't be reached its connections are down, their calls fail, what they
    /// have in hand is delivered again later, and what they want to send waits.
    package func setReachable(_ isReachable: Bool, vhost: String = "/") {
        place(vhost).access { $0.setReachable(isReachable) }
    }

    /// How many messages wait in a queue, those in a consumer's hand not counted; `nil` when there is no such queue.
    package func depth(of queue: String, vhost: String = "/") -> Int? {
        place(vhost).access { $0.queues[queue]?.messages.count }
    }

    private func place(_ vhost: String) -> Place {
        places.withLock { places in
            let place = places[vhost] ?? Place()
            places[vhost] = place
            return place
        }
    }

    /// Where a virtual host is kept.
    final class Place: Sendable {
        private let host = Mutex(VirtualHost())

        func access<Value: Sendable>(_ body: (inout VirtualHost) -> Value) -> Value {
            let (value, wakes) = host.withLock { host in
                let value = body(&host)
                defer { host.wakes = [] }
                return (value, host.wakes)
            }
            for wake in wakes { wake() }
            return value
        }
    }
}

extension InMemoryBroker {
    struct Message: Sendable {
        struct ReplyTo: Sendable {
            let connection: Int
            let call: Int
        }

        /// What passes through several hands without being copied.
        final class Content: Sendable {
            let envelope: Envelope
            let address: BusAddress
            let replyTo: ReplyTo?

            init(envelope: Envelope, address: BusAddress, replyTo: ReplyTo?) {
                self.envelope = envelope
                self.address = address
                self.replyTo = replyTo
            }
        }

        /// Place in the virtual host's history: a message that is delivered again goes back to its place.
        let sequence: Int
        let content: Content
        var isRedelivered = false
    }

    /// A message in a consumer's hand.
    struct Held: Sendable {
        let consumer: Int
        let message: Message
    }

    struct Queue {
        let declaration: BusTopology.Queue
        /// The connection that an exclusive queue goes with.
        let owner: Int?
        var messages: Deque<Message> = []
        /// Consumers take turns; the first is next.
        var consumers: Deque<Int> = []
    }

    struct Consumer {
        let connection: Int
        let queue: String
        let prefetch: Int
        let mailbox: Mailbox<Held>
        var inHand: [Int: Message] = [:]
    }

    struct Connection {
        var calls: [Int: Mailbox<Result<Envelope, BusError>>] = [:]
        /// Operations that wait until the broker can be reached.
        var waiters: [Int: Mailbox<Void>] = [:]
        var inFlight = 0
    }

    /// Exchanges, queues and connections of one virtual host. Only touched under the broker's lock.
    struct VirtualHost {
        var exchanges: [String: BusTopology.ExchangeKind] = [:]
        var queues: [String: Queue] = [:]
        var bindings: [BusTopology.Binding] = []
        var connections: [Int: Connection] = [:]
        var consumers: [Int: Consumer] = [:]
        var isReachable = true
        /// Of those who have been given something, for when the lock is free.
        var wakes: [@Sendable () -> Void] = []
        private var lastNumber = 0

        /// Numbers connections, consumers, calls and messages.
        mutating func nextNumber() -> Int {
            lastNumber += 1
            return lastNumber
        }
    }
}
