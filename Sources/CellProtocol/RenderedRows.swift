import CloudModel
package import FoundationEssentials
import Primitives

/// Rendered servers on the wire, so that a page of a list is neither encoded nor decoded, only framed: the byte 1 for
/// this format, then for each row the id's 16 bytes, the version as eight, the text's length as four, big endian, and
/// the text.
package enum RenderedRows {
    private static let format: UInt8 = 1
    private static let headSize = 28

    package static func encode(_ rows: [GetRequest.Reply.Row]) -> Data {
        var data = Data(capacity: rows.reduce(1) { $0 + headSize + $1.rendered.count })
        data.append(format)
        for row in rows {
            withUnsafeBytes(of: row.id.uuid.uuid) { data.append(contentsOf: $0) }
            withUnsafeBytes(of: row.version.bigEndian) { data.append(contentsOf: $0) }
            withUnsafeBytes(of: UInt32(row.rendered.count).bigEndian) { data.append(contentsOf: $0) }
            data.append(row.rendered)
        }
        return data
    }

    /// - Throws: `CellFailure` when the text is no such frame, or cut off.
    package static func decode(_ data: Data) throws(CellFailure) -> [GetRequest.Reply.Row] {
        guard data.first == format else { throw CellFailure(message: "rendered servers in an unknown format") }
        var rows: [GetRequest.Reply.Row] = []
        var rest = data.dropFirst()
        while !rest.isEmpty {
            guard rest.count >= headSize else { throw CellFailure(message: "rendered servers are cut off") }
            let head = rest.prefix(headSize)
            let (id, version, length) = head.withUnsafeBytes { bytes in
                (
                    ServerID(UUID(uuid: bytes.loadUnaligned(as: uuid_t.self))),
                    Int64(bigEndian: bytes.loadUnaligned(fromByteOffset: 16, as: Int64.self)),
                    Int(UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: 24, as: UInt32.self)))
                )
            }
            rest = rest.dropFirst(headSize)
            guard rest.count >= length else { throw CellFailure(message: "rendered servers are cut off") }
            rows.append(.init(id: id, version: version, rendered: rest.prefix(length)))
            rest = rest.dropFirst(length)
        }
        return rows
    }
}

extension GetRequest {
    package static func encode(_ reply: Reply) -> Data { RenderedRows.encode(reply.rows) }
    package static func decode(_ body: Data) throws -> Reply { Reply(rows: try RenderedRows.decode(body)) }
}
