package import FoundationEssentials
package import MessageBus
import Primitives

/// How an envelope travels: its fields as JSON in the header `cw-envelope`, its body as the message's raw body.
package enum EnvelopeCodec {
    static let header = "cw-envelope"
    /// The JSON must fit the frame that holds a message's properties.
    static let headLimitBytes = 64 * 1024

    package static func encodeHead(of envelope: Envelope) throws(BusError) -> Data {
        var writer = JSONWriter(capacity: 512)
        writer.object { write(envelope, to: &$0) }
        guard writer.bytes.count <= headLimitBytes else {
            throw .malformed("envelope fields of \(writer.bytes.count) bytes, the limit is \(headLimitBytes)")
        }
        return Data(writer.bytes)
    }

    /// All but the body. What is nil is left out; a deadline is in whole milliseconds since 1970.
    private static func write(_ envelope: Envelope, to head: inout JSONWriter) {
        head.field("version", envelope.version)
        head.field("messageID", envelope.messageID.uuidString)
        head.field("idempotencyKey", envelope.idempotencyKey)
        head.field("requestID", envelope.requestID)
        if let traceParent = envelope.traceParent { head.field("traceParent", traceParent) }
        if let deadline = envelope.deadline.flatMap({ Int(exactly: ($0.timeIntervalSince1970 * 1000).rounded()) }) {
            head.field("deadline", deadline)
        }
        head.field("sender", envelope.sender)
        if let caller = envelope.caller {
            head.object("caller") {
                $0.field("userID", caller.userID)
                $0.field("projectID", caller.projectID)
                $0.field("roles", caller.roles)
            }
        }
        if let cell = envelope.cell { head.field("cell", cell) }
        head.field("kind", envelope.kind)
    }

    package static func decode(head data: Data?, body: Data) throws(BusError) -> Envelope {
        guard let data else { throw .malformed("no \(header) header") }
        guard data.count <= headLimitBytes else {
            throw .malformed("envelope fields of \(data.count) bytes, the limit is \(headLimitBytes)")
        }
        do {
            return try JSONReader.document(Array(data)) { reader throws(JSONSyntaxError) in
                try envelope(&reader, body)
            }
        } catch {
            throw .malformed("the \(header) header is no envelope: \(error)")
        }
    }

    private static func envelope(_ reader: inout JSONReader, _ body: Data) throws(JSONSyntaxError) -> Envelope {
        var version: Int?
        var messageID: UUID?
        var texts: [String: String] = [:]
        var deadline: Int64?
        var caller: Caller?
        try reader.object { (key, reader) throws(JSONSyntaxError) in
            switch key {
            case "version": version = try reader.integer()
            case "messageID": messageID = try reader.uuid()
            case "deadline":
                deadline = try reader.optional { reader throws(JSONSyntaxError) in try reader.integer() }
            case "caller": caller = try reader.optional(Self.caller)
            case "idempotencyKey", "requestID", "sender", "kind", "traceParent", "cell":
                texts[try reader.text(of: key)] = try reader.optionalString()
            default: try reader.skip()
            }
        }
        guard let version, let messageID, let idempotencyKey = texts["idempotencyKey"],
            let requestID = texts["requestID"], let sender = texts["sender"], let kind = texts["kind"]
        else { throw reader.error("a field is missing") }
        var envelope = Envelope(
            messageID: messageID, idempotencyKey: idempotencyKey, requestID: requestID,
            traceParent: texts["traceParent"],
            deadline: deadline.map { Date(timeIntervalSince1970: Double($0) / 1000) }, sender: sender, caller: caller,
            cell: texts["cell"], kind: kind, body: body)
        envelope.version = version
        return envelope
    }

    private static func caller(_ reader: inout JSONReader) throws(JSONSyntaxError) -> Caller {
        var userID: String?
        var projectID: String?
        var roles: [String]?
        try reader.object { (key, reader) throws(JSONSyntaxError) in
            switch key {
            case "userID": userID = try reader.string()
            case "projectID": projectID = try reader.string()
            case "roles": roles = try reader.strings()
            default: try reader.skip()
            }
        }
        guard let userID, let projectID, let roles else { throw reader.error("a field of the caller is missing") }
        return Caller(userID: userID, projectID: projectID, roles: roles)
    }
}
