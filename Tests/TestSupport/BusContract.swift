package import FoundationEssentials
package import MessageBus
import Primitives
import Synchronization
import Testing

/// Where a contract's connections come from: all of them to one virtual host that nothing else uses.
package protocol BusFixture: Sendable {
    func connect() async throws -> any MessageBus
}

/// One clause of what every ``MessageBus`` promises. Each adapter's tests run ``all``:
///
///     @Test(arguments: BusContract.all) func keeps(_ clause: BusContract) async throws {
///         try await clause.check(MyFixture())
///     }
package struct BusContract: Sendable, CustomTestStringConvertible {
    package let name: String
    package let check: @Sendable (any BusFixture) async throws -> Void

    init(_ name: String, _ check: @escaping @Sendable (any BusFixture) async throws -> Void) {
        self.name = name
        self.check = check
    }

    package var testDescription: String { name }

    package static let all = routing + delivery + calls + endings
}

/// What the clauses and other tests of a bus send.
package enum BusMessages {
    package static let timeout = Duration.seconds(20)

    package static func envelope(_ kind: String, body: String = "{}", deadline: Date? = nil) -> Envelope {
        let identifier = UUID()
        return Envelope(
            messageID: identifier, requestID: "req-\(identifier)",
            traceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", deadline: deadline,
            sender: "test@/", caller: Caller(userID: "u", projectID: "p", roles: ["member", "reader"]), kind: kind,
            body: Data(body.utf8))
    }

    package static func topology(
        _ kind: BusTopology.ExchangeKind, patterns: [String], exchange: String = "x", queue: String = "q"
    ) -> BusTopology {
        BusTopology(
            exchanges: [.init(exchange, kind)], queues: [.init(queue)],
            bindings: patterns.map { .init(exchange: exchange, queue: queue, pattern: $0) })
    }
}

/// What consumers have received, from whichever task.
package final class Received: Sendable {
    private let list = Mutex<[BusDelivery]>([])

    package init() {}

    package var deliveries: [BusDelivery] { list.withLock { $0 } }
    package var kinds: [String] { deliveries.map(\.envelope.kind) }
    package var count: Int { list.withLock { $0.count } }

    package func add(_ delivery: BusDelivery) { list.withLock { $0.append(delivery) } }
}

extension MessageBus {
    package func publish(_ kind: String, to exchange: String, _ key: String, mandatory: Bool = true) async throws {
        try await publish(
            BusMessages.envelope(kind), to: BusAddress(exchange: exchange, routingKey: key), mandatory: mandatory,
            timeout: BusMessages.timeout)
    }
}

/// Runs `body` beside a background task that is cancelled at the end, whichever way that comes.
package func alongside(
    _ background: @escaping @Sendable () async throws -> Void, _ body: @escaping @Sendable () async throws -> Void
) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await background() }
        let result: Result<Void, any Error>
        do {
            try await body()
            result = .success(())
        } catch {
            result = .failure(error)
        }
        group.cancelAll()
        do {
            try await group.waitForAll()
        } catch BusError.cancelled {
            // Expected of what was waiting.
        } catch {
            Issue.record(error)
        }
        try result.get()
    }
}

package func expectBusError(
    _ what: String, _ matches: @escaping @Sendable (BusError) -> Bool, from body: () async throws -> Void
) async {
    do {
        try await body()
        Issue.record("\(what): no error")
    } catch let error as BusError {
        #expect(matches(error), "\(what): \(error)")
    } catch {
        Issue.record("\(what): \(error)")
    }
}

extension BusError {
    package var refusalCode: Int? {
        guard case .refused(let code, _) = self else { return nil }
        return code
    }
    package var isUnroutable: Bool { if case .unroutable = self { true } else { false } }
    package var isTimeOut: Bool { if case .timedOut = self { true } else { false } }
    package var isMalformed: Bool { if case .malformed = self { true } else { false } }
    package var isDisconnected: Bool { if case .disconnected = self { true } else { false } }
    package var isTooMany: Bool { if case .tooManyInFlight = self { true } else { false } }
}
