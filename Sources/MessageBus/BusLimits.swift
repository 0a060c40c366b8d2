/// Bounds of one connection, the same for every adapter. What would go past one fails with
/// ``BusError/tooManyInFlight(_:)`` at once.
package enum BusLimits {
    /// Messages that are handed over and not confirmed.
    package static let publishesInFlight = 4_096
    /// The bytes of their bodies, and of the bodies of calls.
    package static let bytesInFlight = 256 * 1024 * 1024
    /// Calls without an answer yet.
    package static let callsInFlight = 4_096
    /// `consume` and `serve` together.
    package static let consumers = 256
    /// Most messages that one consumer may have in hand (AMQP counts them in 16 bits).
    package static let prefetch = 65_535
    /// Names of exchanges and queues and routing keys, in UTF-8 (AMQP counts their length in 8 bits).
    package static let nameBytes = 255

    /// Refuses what no adapter may send.
    package static func check(_ envelope: Envelope, to address: BusAddress) throws(BusError) {
        guard envelope.body.count <= Envelope.bodyLimitBytes else {
            throw .malformed("a body of \(envelope.body.count) bytes, the limit is \(Envelope.bodyLimitBytes)")
        }
        try check(name: address.exchange)
        try check(name: address.routingKey)
    }

    package static func check(name: String) throws(BusError) {
        guard name.utf8.count <= nameBytes else {
            throw .malformed("a name of \(name.utf8.count) bytes, the limit is \(nameBytes)")
        }
    }

    /// Refuses a topology with names that no adapter can declare.
    package static func check(_ topology: BusTopology) throws(BusError) {
        for exchange in topology.exchanges { try check(name: exchange.name) }
        for queue in topology.queues {
            try check(name: queue.name)
            guard !queue.name.isEmpty, queue.lengthLimit > 0 else {
                throw .malformed("queue \"\(queue.name)\" needs a name and a length limit above 0")
            }
        }
        for binding in topology.bindings {
            try check(name: binding.exchange)
            try check(name: binding.queue)
            try check(name: binding.pattern)
        }
    }
}
