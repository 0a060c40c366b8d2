import FoundationEssentials
import MessageBus
import Primitives
import RabbitMQTransport
import Synchronization
import TestSupport

/// What a connection said about itself.
final class Notices: Sendable {
    private let list = Mutex<[RabbitMQNotice]>([])

    var add: @Sendable (RabbitMQNotice) -> Void {
        { [self] notice in list.withLock { $0.append(notice) } }
    }

    var all: [RabbitMQNotice] { list.withLock { $0 } }
    var texts: [String] { all.map(\.description) }
    var connections: Int { all.count { $0 == .connected } }
    var malformed: Int {
        all.count { notice in if case .malformedMessage = notice { true } else { false } }
    }
    var losses: Int {
        all.count { notice in if case .disconnected = notice { true } else { false } }
    }
}

extension PrivateRabbitMQ.VHost {
    /// Publishes something that the adapter itself would never send, through the management API.
    func publishRaw(to queue: String, properties: String, body: String = "raw") async throws {
        let payload = try JSONEncoder().encode(body)
        let text = """
            {"properties":\(properties),"routing_key":"\(queue)","payload":\(String(decoding: payload, as: UTF8.self)),\
            "payload_encoding":"string"}
            """
        try await broker.send(
            BrokerRequest(
                .post, ["exchanges", name, "amq.default", "publish"],
                body: try JSONDecoder().decode(JSONValue.self, from: Data(text.utf8))))
    }
}
