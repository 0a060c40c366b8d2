/// The well-known names of a cell's virtual host, in one place: who declares, sends and receives must agree on them.
///
/// - `commands` (direct): conductor to agents; the routing key is the host's key, one queue a host.
/// - `reports` (topic): agents to the cell; keys `host.<host key>.<kind>`, which topic permissions tie to the sender.
/// - `events` (topic): the cell to its parent, through queue `parent`.
/// - queue `supervisor`: calls of the cell protocol, answered by any of the cell's supervisors.
package enum CellTopology {
    package static let commandsExchange = "commands"
    package static let reportsExchange = "reports"
    package static let eventsExchange = "events"

    package static let supervisorQueue = "supervisor"
    package static let conductorQueue = "conductor"
    package static let parentQueue = "parent"

    /// Takes every report whose kind is one word. Answers to one asker have a second word (see ``replyPattern(asker:)``)
    /// and so pass the conductors' shared queue by.
    package static let conductorPattern = "host.*.*"

    /// The one word that stands for a host in routing keys, queue names and permissions: its name with `_` for each dot,
    /// because dots separate the words of a routing key. Host names (RFC 1123) hold no `_`, so the key is as unique.
    package static func hostKey(_ name: String) -> String {
        // Most names have none, and hosts are many.
        name.utf8.contains(UInt8(ascii: ".")) ? String(name.map { $0 == "." ? "_" : $0 }) : name
    }

    /// The queue that only this host's agent may read.
    package static func hostQueue(_ name: String) -> String { "host.\(hostKey(name))" }

    /// Where the conductor sends what the host must do.
    package static func commandAddress(host name: String) -> BusAddress {
        BusAddress(exchange: commandsExchange, routingKey: hostKey(name))
    }

    /// Where the host's agent reports. `kind` is one word, such as `report`, `heartbeat` or `lifecycle`.
    package static func reportAddress(host name: String, kind: String) -> BusAddress {
        BusAddress(exchange: reportsExchange, routingKey: "host.\(hostKey(name)).\(kind)")
    }

    /// Where the host's agent answers a question of `asker` (one word; agents may not answer to a reply queue).
    package static func replyAddress(host name: String, asker: String) -> BusAddress {
        BusAddress(exchange: reportsExchange, routingKey: "host.\(hostKey(name)).reply.\(asker)")
    }

    /// What an asker binds its own exclusive queue to on `reports`, to get the answers of all hosts.
    package static func replyPattern(asker: String) -> String { "host.*.reply.\(asker)" }

    /// Where the cell puts an event for its parent. `kind` may have several words, such as `instance.updated`.
    package static func eventAddress(kind: String) -> BusAddress {
        BusAddress(exchange: eventsExchange, routingKey: kind)
    }

    /// Who sent a report and of which kind, from the routing key that the broker let the sender use; `nil` for keys of
    /// another shape.
    package static func reportSource(routingKey: String) -> (hostKey: String, kind: String)? {
        let words = routingKey.split(separator: ".", maxSplits: 2, omittingEmptySubsequences: false)
        guard words.count == 3, words[0] == "host", !words[1].isEmpty, !words[2].isEmpty else { return nil }
        return (String(words[1]), String(words[2]))
    }
}

extension BusTopology {
    /// Everything that a cell's supervisor declares when it starts, hosts apart.
    package static let cell = BusTopology(
        exchanges: [
            Exchange(CellTopology.commandsExchange, .direct),
            Exchange(CellTopology.reportsExchange, .topic),
            Exchange(CellTopology.eventsExchange, .topic),
        ],
        queues: [
            Queue(CellTopology.supervisorQueue),
            Queue(CellTopology.conductorQueue),
            Queue(CellTopology.parentQueue),
        ],
        bindings: [
            Binding(
                exchange: CellTopology.reportsExchange, queue: CellTopology.conductorQueue,
                pattern: CellTopology.conductorPattern),
            Binding(exchange: CellTopology.eventsExchange, queue: CellTopology.parentQueue, pattern: "#"),
        ])

    /// A host's queue and its binding. The supervisor declares it before the agent starts: agents may declare nothing.
    package static func host(_ name: String) -> BusTopology {
        let queue = CellTopology.hostQueue(name)
        return BusTopology(
            exchanges: [Exchange(CellTopology.commandsExchange, .direct)],
            queues: [Queue(queue, lengthLimit: 10_000)],
            bindings: [
                Binding(
                    exchange: CellTopology.commandsExchange, queue: queue, pattern: CellTopology.hostKey(name))
            ])
    }

    /// An exclusive queue of `asker` for the answers of hosts. It goes with the asker's connection.
    package static func replies(asker: String) -> BusTopology {
        let queue = "replies.\(asker)"
        return BusTopology(
            exchanges: [Exchange(CellTopology.reportsExchange, .topic)],
            queues: [Queue(queue, life: .exclusive, lengthLimit: 10_000)],
            bindings: [
                Binding(
                    exchange: CellTopology.reportsExchange, queue: queue,
                    pattern: CellTopology.replyPattern(asker: asker))
            ])
    }
}
