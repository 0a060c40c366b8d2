import FoundationEssentials
import MessageBus
import Testing

extension BusContract {
    static let routing: [BusContract] = [
        BusContract("a direct exchange delivers by equal key") { fixture in
            try await expectRouting(
                .direct, patterns: ["a", "b.c"], keys: ["a", "b.c", "b", "a.a", ""], delivered: ["a", "b.c"],
                fixture)
        },
        BusContract("a topic exchange matches * with one word and # with any number") { fixture in
            try await expectRouting(
                .topic, patterns: ["host.*.*", "#.end", "x.#.y"],
                keys: [
                    "host.h1.report", "host.h1.reply.c1", "host.h1", "end", "a.b.end", "x.y", "x.1.2.y", "x.1.2",
                    "end.a",
                ],
                delivered: ["host.h1.report", "end", "a.b.end", "x.y", "x.1.2.y"], fixture)
        },
        BusContract("a fanout exchange delivers whatever the key") { fixture in
            try await expectRouting(.fanout, patterns: [""], keys: ["a", ""], delivered: ["a", ""], fixture)
        },
        BusContract("the default exchange delivers by the queue's name") { fixture in
            let bus = try await fixture.connect()
            try await bus.declare(BusTopology(queues: [.init("q1"), .init("q2")]))
            try await bus.publish("one", to: "", "q2")
            let received = Received()
            try await alongside({ try await collect(bus, "q2", received) }) {
                try await eventually("it has arrived") { received.kinds == ["one"] }
            }
            #expect(received.deliveries.first?.exchange == "")
            #expect(received.deliveries.first?.routingKey == "q2")
            await bus.close()
        },
        BusContract("a message reaches every bound queue, and each once") { fixture in
            let bus = try await fixture.connect()
            try await bus.declare(BusMessages.topology(.topic, patterns: ["a.#", "#.b"], queue: "q1"))
            try await bus.declare(BusMessages.topology(.topic, patterns: ["a.b"], queue: "q2"))
            try await bus.publish("both", to: "x", "a.b")
            try await bus.publish("last", to: "", "q1")
            let (first, second) = (Received(), Received())
            try await alongside({ try await collect(bus, "q1", first) }) {
                try await alongside({ try await collect(bus, "q2", second) }) {
                    try await eventually("all have arrived") { first.count >= 2 && second.count >= 1 }
                }
            }
            #expect(first.kinds == ["both", "last"])
            #expect(second.kinds == ["both"])
            await bus.close()
        },
        BusContract("what is past its deadline is not delivered") { fixture in
            let bus = try await fixture.connect()
            try await bus.declare(BusTopology(queues: [.init("q")]))
            for (kind, deadline) in [("late", Date().addingTimeInterval(-1)), ("last", nil)] {
                try await bus.publish(
                    BusMessages.envelope(kind, deadline: deadline), to: BusAddress(exchange: "", routingKey: "q"),
                    mandatory: true, timeout: BusMessages.timeout)
            }
            let received = Received()
            try await alongside({ try await collect(bus, "q", received) }) {
                try await eventually("the last has arrived") { received.kinds.contains("last") }
            }
            #expect(received.kinds == ["last"])
            await bus.close()
        },
        BusContract("what is in the envelope arrives as it was sent") { fixture in
            let bus = try await fixture.connect()
            try await bus.declare(BusTopology(queues: [.init("q")]))
            let deadline = Date(timeIntervalSince1970: 1_900_000_000.25)
            let full = BusMessages.envelope("full", body: #"{"a":"ä\u0000 /"}"#, deadline: deadline)
            var sparse = BusMessages.envelope("sparse", body: "")
            sparse.traceParent = nil
            sparse.caller = nil
            for envelope in [full, sparse] {
                try await bus.publish(
                    envelope, to: BusAddress(exchange: "", routingKey: "q"), mandatory: true,
                    timeout: BusMessages.timeout)
            }
            let received = Received()
            try await alongside({ try await collect(bus, "q", received) }) {
                try await eventually("both have arrived") { received.count == 2 }
            }
            #expect(received.deliveries.map(\.envelope) == [full, sparse])
            #expect(received.deliveries.allSatisfy { !$0.isRedelivered })
            await bus.close()
        },
        BusContract("a mandatory message that no queue takes is unroutable, any other is dropped") { fixture in
            let bus = try await fixture.connect()
            try await bus.declare(BusMessages.topology(.topic, patterns: ["a"]))
            await expectBusError("no binding", \.isUnroutable) { try await bus.publish("m", to: "x", "b") }
            await expectBusError("no queue", \.isUnroutable) { try await bus.publish("m", to: "", "missing") }
            try await bus.publish("dropped", to: "x", "b", mandatory: false)
            try await bus.publish("kept", to: "x", "a")
            await bus.close()
        },
        BusContract("declaring again is harmless, declaring otherwise is refused with 406") { fixture in
            let bus = try await fixture.connect()
            let topology = BusMessages.topology(.topic, patterns: ["a"])
            try await bus.declare(topology)
            try await bus.declare(topology)
            await expectBusError("another kind", { $0.refusalCode == 406 }) {
                try await bus.declare(BusMessages.topology(.direct, patterns: ["a"]))
            }
            await expectBusError("another length limit", { $0.refusalCode == 406 }) {
                try await bus.declare(BusTopology(queues: [.init("q", lengthLimit: 7)]))
            }
            await expectBusError("binding to nothing", { $0.refusalCode == 404 }) {
                try await bus.declare(
                    BusTopology(bindings: [.init(exchange: "missing", queue: "q", pattern: "a")]))
            }
            try await bus.publish("still works", to: "x", "a")
            await bus.close()
        },
        BusContract("a refused operation leaves others on the same connection alone") { fixture in
            let bus = try await fixture.connect()
            try await bus.declare(BusMessages.topology(.direct, patterns: ["a"]))
            let received = Received()
            try await alongside({ try await collect(bus, "q", received) }) {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for number in 0..<50 {
                        group.addTask { try await bus.publish("\(number)", to: "x", "a") }
                        if number % 10 == 0 {
                            group.addTask {
                                await expectBusError("no exchange", { $0.refusalCode == 404 }) {
                                    try await bus.publish("lost", to: "missing", "a")
                                }
                            }
                            group.addTask {
                                await expectBusError("no queue", { $0.refusalCode == 404 }) {
                                    try await bus.consume(queue: "missing", prefetch: 1) { _ in .acknowledge }
                                }
                            }
                        }
                    }
                    try await group.waitForAll()
                }
                try await eventually("all have arrived") { Set(received.kinds).count == 50 }
            }
            #expect(Set(received.kinds) == Set((0..<50).map(String.init)))
            await bus.close()
        },
    ]

    static func collect(_ bus: any MessageBus, _ queue: String, _ received: Received) async throws {
        try await bus.consume(queue: queue, prefetch: 1) { delivery in
            received.add(delivery)
            return .acknowledge
        }
    }

    private static func expectRouting(
        _ kind: BusTopology.ExchangeKind, patterns: [String], keys: [String], delivered: [String],
        _ fixture: any BusFixture
    ) async throws {
        let bus = try await fixture.connect()
        try await bus.declare(BusMessages.topology(kind, patterns: patterns))
        for key in keys {
            do {
                try await bus.publish("m", to: "x", key)
                #expect(delivered.contains(key), "\(key) should not have been routed")
            } catch BusError.unroutable {
                #expect(!delivered.contains(key), "\(key) should have been routed")
            }
        }
        let received = Received()
        try await alongside({ try await collect(bus, "q", received) }) {
            try await eventually("all have arrived") { received.count == delivered.count }
        }
        #expect(received.deliveries.map(\.routingKey) == delivered)
        #expect(received.deliveries.allSatisfy { $0.exchange == "x" })
        await bus.close()
    }
}
