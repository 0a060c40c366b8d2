package import FoundationEssentials
package import MessageBus

/// How an envelope travels: its fields as JSON in the header `cw-envelope`, its body as the message's raw body.
package enum EnvelopeCodec {
    static let header = "cw-envelope"
    /// The JSON must fit the frame that holds a message's properties.
    static let headLimitBytes = 64 * 1024

    /// An envelope without its body. Deadlines are whole milliseconds since 1970.
    private struct Head: Codable {
        let version: Int
        let messageID: UUID
        let idempotencyKey: String
        let requestID: String
        let traceParent: String?
        let deadline: Int64?
        let sender: String
        let caller: Caller?
        let cell: String?
        let kind: String
    }

    package static func encodeHead(of envelope: Envelope) throws(BusError) -> Data {
        let head = Head(
            version: envelope.version, messageID: envelope.messageID, idempotencyKey: envelope.idempotencyKey,
            requestID: envelope.requestID, traceParent: envelope.traceParent,
            deadline: envelope.deadline.flatMap { Int64(exactly: ($0.timeIntervalSince1970 * 1000).rounded()) },
            sender: envelope.sender, caller: envelope.caller, cell: envelope.cell, kind: envelope.kind)
        let data: Data
        do {
            data = try JSONEncoder().encode(head)
        } catch {
            throw .malformed("an envelope that can't be encoded")
        }
        guard data.count <= headLimitBytes else {
            throw .malformed("envelope fields of \(data.count) bytes, the limit is \(headLimitBytes)")
        }
        return data
    }

    package static func decode(head data: Data?, body: Data) throws(BusError) -> Envelope {
        guard let data else { throw .malformed("no \(header) header") }
        guard data.count <= headLimitBytes else {
            throw .malformed("envelope fields of \(data.count) bytes, the limit is \(headLimitBytes)")
        }
        let head: Head
        do {
            head = try JSONDecoder().decode(Head.self, from: data)
        } catch {
            throw .malformed("the \(header) header is no envelope")
        }
        var envelope = Envelope(
            messageID: head.messageID, idempotencyKey: head.idempotencyKey, requestID: head.requestID,
            traceParent: head.traceParent,
            deadline: head.deadline.map { Date(timeIntervalSince1970: Double($0) / 1000) },
            sender: head.sender, caller: head.caller, cell: head.cell, kind: head.kind, body: body)
        envelope.version = head.version
        return envelope
    }
}
