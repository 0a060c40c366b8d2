import HTTPKit

/// Writes the fields of a token.
struct FieldWriter {
    private(set) var bytes: [UInt8] = []

    /// Seven bits a byte, the lowest first.
    mutating func number(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(rest & 0x7F) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    /// The length doubled, then UTF-8; 32 hexadecimal digits become 1 and 16 bytes.
    mutating func text(_ text: String) {
        if let packed = Self.pack(text) {
            number(1)
            bytes.append(contentsOf: packed)
        } else {
            number(UInt64(text.utf8.count) << 1)
            bytes.append(contentsOf: text.utf8)
        }
    }

    mutating func named(_ named: AuthContext.Named) {
        text(named.id)
        text(named.name)
    }

    private static func pack(_ text: String) -> [UInt8]? {
        guard text.utf8.count == 32 else { return nil }
        var packed: [UInt8] = []
        var high: UInt8?
        for byte in text.utf8 {
            let digit: UInt8
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
            default: return nil
            }
            if let first = high {
                packed.append(first << 4 | digit)
                high = nil
            } else {
                high = digit
            }
        }
        return packed
    }
}

/// Reads what ``FieldWriter`` wrote, trusting nothing.
struct FieldReader {
    struct Malformed: Error {}

    /// Elements of one list, at most.
    private static let listLimit: UInt64 = 256
    private static let digits = Array("0123456789abcdef".utf8)

    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    var isAtEnd: Bool { rest.isEmpty }

    mutating func number() throws(Malformed) -> UInt64 {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), through: 63, by: 7) {
            guard let byte = rest.popFirst() else { throw Malformed() }
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
        }
        throw Malformed()
    }

    mutating func text() throws(Malformed) -> String {
        let length = try number()
        if length == 1 {
            let packed = try take(16)
            return String(unsafeUninitializedCapacity: 32) { text in
                for (index, byte) in packed.enumerated() {
                    text[2 * index] = Self.digits[Int(byte >> 4)]
                    text[2 * index + 1] = Self.digits[Int(byte & 15)]
                }
                return 32
            }
        }
        guard length & 1 == 0, let text = String(validating: try take(length >> 1), as: UTF8.self) else {
            throw Malformed()
        }
        return text
    }

    mutating func named() throws(Malformed) -> AuthContext.Named {
        AuthContext.Named(id: try text(), name: try text())
    }

    mutating func list<Element>(
        _ element: (inout FieldReader) throws(Malformed) -> Element
    ) throws(Malformed) -> [Element] {
        let count = try number()
        guard count <= Self.listLimit else { throw Malformed() }
        var elements: [Element] = []
        for _ in 0..<count { elements.append(try element(&self)) }
        return elements
    }

    private mutating func take(_ count: UInt64) throws(Malformed) -> ArraySlice<UInt8> {
        guard count <= UInt64(rest.count) else { throw Malformed() }
        defer { rest = rest.dropFirst(Int(count)) }
        return rest.prefix(Int(count))
    }
}
