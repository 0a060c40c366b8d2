import CloudModel
package import FoundationEssentials
import Primitives

/// Rendered servers on the wire, so that a page of a list is neither encoded nor decoded, only framed.
///
/// The byte 1 for this format; how many servers can't be reached, and the 16 bytes of each one's id; then for each row the
/// id's 16 bytes, the version as eight, the text's length as four, and the text. Counts and numbers are big endian.
package enum RenderedRows {
    private static let format: UInt8 = 1
    private static let idSize = 16
    private static let headSize = idSize + 8 + 4

    package static func encode(_ reply: GetRequest.Reply) -> Data {
        let missing = reply.unreachable ?? []
        var data = Data(capacity: reply.rows.reduce(5 + missing.count * idSize) { $0 + headSize + $1.rendered.count })
        data.append(format)
        append(UInt32(missing.count).bigEndian, to: &data)
        for id in missing { append(id.uuid.uuid, to: &data) }
        for row in reply.rows {
            append(row.id.uuid.uuid, to: &data)
            append(row.version.bigEndian, to: &data)
            append(UInt32(row.rendered.count).bigEndian, to: &data)
            data.append(row.rendered)
        }
        return data
    }

    /// - Throws: `CellFailure` when the text is no such frame, or cut off.
    package static func decode(_ data: Data) throws(CellFailure) -> GetRequest.Reply {
        guard data.first == format else { throw CellFailure(message: "rendered servers in an unknown format") }
        var rest = data.dropFirst()
        var reply = GetRequest.Reply(rows: [])
        let missing = UInt32(bigEndian: try take(UInt32.self, from: &rest))
        guard Int(missing) * idSize <= rest.count else { throw cutOff }
        for _ in 0..<missing {
            reply.unreachable = (reply.unreachable ?? []) + [ServerID(UUID(uuid: try take(uuid_t.self, from: &rest)))]
        }
        while !rest.isEmpty {
            let id = ServerID(UUID(uuid: try take(uuid_t.self, from: &rest)))
            let version = Int64(bigEndian: try take(Int64.self, from: &rest))
            let length = Int(UInt32(bigEndian: try take(UInt32.self, from: &rest)))
            guard rest.count >= length else { throw cutOff }
            reply.rows.append(.init(id: id, version: version, rendered: rest.prefix(length)))
            rest = rest.dropFirst(length)
        }
        return reply
    }

    private static let cutOff = CellFailure(message: "rendered servers are cut off")

    private static func append<Value: BitwiseCopyable>(_ value: Value, to data: inout Data) {
        withUnsafeBytes(of: value) { data.append(contentsOf: $0) }
    }

    private static func take<Value: BitwiseCopyable>(
        _: Value.Type, from rest: inout Data
    ) throws(CellFailure) -> Value {
        let size = MemoryLayout<Value>.size
        guard rest.count >= size else { throw cutOff }
        let value = rest.prefix(size).withUnsafeBytes { $0.loadUnaligned(as: Value.self) }
        rest = rest.dropFirst(size)
        return value
    }
}

extension GetRequest {
    package static func encode(_ reply: Reply) -> Data { RenderedRows.encode(reply) }
    package static func decode(_ body: Data) throws -> Reply { try RenderedRows.decode(body) }
}
