import Foundation
import MessageBus
import Testing

@testable import RabbitMQTransport

/// An envelope's fields in the header `cw-envelope`.
struct EnvelopeCodecTests {
    private static let full: Envelope = {
        var envelope = Envelope(
            messageID: UUID(), idempotencyKey: "key \"1\"\u{1}é", requestID: "req-1", traceParent: "00-1-2-01",
            deadline: Date(timeIntervalSince1970: 1_700_000_000.123), sender: "api@/",
            caller: Caller(userID: "u", projectID: "p", roles: ["admin", "member"]), cell: "/a/b", kind: "cell.get",
            body: Data("body".utf8))
        envelope.version = 7
        return envelope
    }()

    private static let bare = Envelope(messageID: UUID(), requestID: "-", sender: "s", kind: "k", body: Data())

    @Test(arguments: [full, bare]) func whatIsWrittenIsRead(_ envelope: Envelope) throws {
        let head = try EnvelopeCodec.encodeHead(of: envelope)
        #expect(try EnvelopeCodec.decode(head: head, body: envelope.body) == envelope)
    }

    /// What a release that wrote it with an encoder sends, and one that knows more fields.
    @Test func theTextIsThatOfEveryRelease() throws {
        let head = try EnvelopeCodec.encodeHead(of: Self.full)
        let members = try #require(try JSONSerialization.jsonObject(with: head) as? [String: Any])
        #expect(members["messageID"] as? String == Self.full.messageID.uuidString)
        #expect(members["deadline"] as? Int == 1_700_000_000_123)
        #expect((members["caller"] as? [String: Any])?["roles"] as? [String] == ["admin", "member"])
        var later = members
        later["priority"] = ["of": [1, 2.5, NSNull()]]
        let text = try JSONSerialization.data(withJSONObject: later, options: [.prettyPrinted, .sortedKeys])
        #expect(try EnvelopeCodec.decode(head: text, body: Self.full.body) == Self.full)
    }

    @Test func nothingIsWrittenForNil() throws {
        let members = try JSONSerialization.jsonObject(with: try EnvelopeCodec.encodeHead(of: Self.bare))
        #expect(
            Set(try #require(members as? [String: Any]).keys)
                == ["version", "messageID", "idempotencyKey", "requestID", "sender", "kind"])
    }

    @Test(arguments: [
        "", "{}", "[]", "null", "{\"version\":1", "{\"version\":\"1\"}", "\u{FEFF}{}",
        #"{"version":1,"messageID":"x","idempotencyKey":"k","requestID":"r","sender":"s","kind":"k"}"#,
        #"{"version":1,"messageID":"2E1CA0A4-0D6A-4B43-9E2E-2D1B6E5F4C3A","idempotencyKey":"k","requestID":"r"}"#,
        #"{"version":1e999,"messageID":"2E1CA0A4-0D6A-4B43-9E2E-2D1B6E5F4C3A","sender":"s"}"#,
        #"{"caller":{"userID":"u"}}"#, #"{"deadline":1.5}"#,
    ])
    func whatIsNoEnvelopeIsRefused(_ text: String) throws {
        #expect(throws: BusError.self) { try EnvelopeCodec.decode(head: Data(text.utf8), body: Data()) }
    }

    @Test func aHeadPastTheLimitIsRefusedOnBothSides() throws {
        var envelope = Self.bare
        envelope.requestID = String(repeating: "x", count: EnvelopeCodec.headLimitBytes)
        #expect(throws: BusError.self) { try EnvelopeCodec.encodeHead(of: envelope) }
        let padded = Data(repeating: 0x20, count: EnvelopeCodec.headLimitBytes + 1)
        #expect(throws: BusError.self) { try EnvelopeCodec.decode(head: padded, body: Data()) }
        #expect(throws: BusError.self) { try EnvelopeCodec.decode(head: nil, body: Data()) }
    }
}
