/// Why a text is not JSON, and where.
public struct JSONSyntaxError: Error, Equatable, CustomStringConvertible {
    public let reason: String
    /// Bytes from the start of the text.
    public let offset: Int
    package init(reason: String, offset: Int) {
        self.reason = reason
        self.offset = offset
    }

    public var description: String { "\(reason) at byte \(offset)" }
}

/// Reads JSON (RFC 8259) into a ``JSONValue`` in one pass.
///
/// Of a repeated key the last value counts, as Python's reader does. Integers that fit 64 bits stay integers.
package enum JSONParser {
    /// The document that `bytes` hold, white space around it allowed.
    package static func parse(_ bytes: [UInt8]) throws(JSONSyntaxError) -> JSONValue {
        try JSONReader.document(bytes) { reader throws(JSONSyntaxError) in try reader.value() }
    }

    package static func parse(_ text: String) throws(JSONSyntaxError) -> JSONValue { try parse(Array(text.utf8)) }
}

extension JSONReader {
    /// Whatever comes next, as a tree.
    package mutating func value() throws(JSONSyntaxError) -> JSONValue {
        switch peek() {
        case UInt8(ascii: "{"):
            var members: [String: JSONValue] = [:]
            try object { (key, reader) throws(JSONSyntaxError) in
                members[try reader.text(of: key)] = try reader.value()
            }
            return .object(members)
        case UInt8(ascii: "["):
            var elements: [JSONValue] = []
            try array { reader throws(JSONSyntaxError) in elements.append(try reader.value()) }
            return .array(elements)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"), UInt8(ascii: "f"): return .bool(try bool())
        case UInt8(ascii: "n"):
            _ = try null()
            return .null
        default: return try number()
        }
    }
}
