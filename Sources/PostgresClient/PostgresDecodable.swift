package import FoundationEssentials
package import Primitives

/// A value that can be read out of a column.
package protocol PostgresDecodable {
    static func decode(_ cell: PostgresCell) throws(PostgresError) -> Self
}

/// One value as the server sent it, in binary format. Valid only while it is being decoded.
package struct PostgresCell {
    package let type: PostgresType
    /// `nil` is NULL.
    package let bytes: UnsafeRawBufferPointer?
    let name: UnsafePointer<CChar>?

    package func failure(_ reason: String) -> PostgresError {
        .decoding(column: name.map { String(cString: $0) } ?? "?", reason: reason)
    }

    /// The bytes of a value that must be there.
    package func value() throws(PostgresError) -> UnsafeRawBufferPointer {
        guard let bytes else { throw failure("is NULL") }
        return bytes
    }

    package func mismatch(_ wanted: String) -> PostgresError { failure("type \(type.rawValue) is not \(wanted)") }

    func integer<Value: FixedWidthInteger>(_: Value.Type) throws(PostgresError) -> Value {
        let bytes = try value()
        guard bytes.count == MemoryLayout<Value>.size else { throw failure("has \(bytes.count) bytes") }
        return Value(bigEndian: bytes.loadUnaligned(as: Value.self))
    }
}

extension Optional: PostgresDecodable where Wrapped: PostgresDecodable {
    package static func decode(_ cell: PostgresCell) throws(PostgresError) -> Wrapped? {
        cell.bytes == nil ? nil : try Wrapped.decode(cell)
    }
}

extension PostgresDecodable where Self: RawRepresentable, RawValue: PostgresDecodable {
    package static func decode(_ cell: PostgresCell) throws(PostgresError) -> Self {
        let raw = try RawValue.decode(cell)
        guard let value = Self(rawValue: raw) else { throw cell.failure("\(raw) is no known \(Self.self)") }
        return value
    }
}

/// Texts, JSON, names, enums, uuids and numerics. Cast other types to text in the statement.
extension String: PostgresDecodable {
    package static func decode(_ cell: PostgresCell) throws(PostgresError) -> String {
        var bytes = try cell.value()
        switch cell.type {
        case .text, .varchar, .bpchar, .name, .char, .unknown, .json: break
        case .jsonb: bytes = UnsafeRawBufferPointer(rebasing: bytes.dropFirst())
        case .uuid: return try UUID.decode(cell).uuidString.lowercased()
        case .numeric: return try PostgresNumeric(cell).description
        default:
            guard cell.type.rawValue >= PostgresType.firstUserDefined else { throw cell.mismatch("text") }
        }
        guard let text = String(utf8: bytes) else { throw cell.failure("is not UTF-8") }
        return text
    }
}

extension Bool: PostgresDecodable {
    package static func decode(_ cell: PostgresCell) throws(PostgresError) -> Bool {
        guard cell.type == .bool else { throw cell.mismatch("bool") }
        return try cell.integer(UInt8.self) != 0
    }
}

extension Int64: PostgresDecodable {
    package static func decode(_ cell: PostgresCell) throws(PostgresError) -> Int64 {
        switch cell.type {
        case .int8: return try cell.integer(Int64.self)
        case .int4: return Int64(try cell.integer(Int32.self))
        case .int2: return Int64(try cell.integer(Int16.self))
        case .oid: return Int64(try cell.integer(UInt32.self))
        case .numeric:
            guard let value = Int64(try PostgresNumeric(cell).description) else { throw cell.mismatch("whole") }
            return value
        default: throw cell.mismatch("an integer")
        }
    }
}

extension Int: PostgresDecodable {
    package static func decode(_ cell: PostgresCell) throws(PostgresError) -> Int { Int(try Int64.decode(cell)) }
}

extension Int32: PostgresDecodable {
    package static func decode(_ cell: PostgresCell) throws(PostgresError) -> Int32 {
        guard let value = Int32(exactly: try Int64.decode(cell)) else { throw cell.failure("is beyond 32 bits") }
        return value
    }
}

extension Int16: PostgresDecodable {
    package static func decode(_ cell: PostgresCell) throws(PostgresError) -> Int16 {
        guard let value = Int16(exactly: try Int64.decode(cell)) else { throw cell.failure("is beyond 16 bits") }
        return value
    }
}

extension Double: PostgresDecodable {
    package static func decode(_ cell: PostgresCell) throws(PostgresError) -> Double {
        switch cell.type {
        case .float8: return Double(bitPattern: try cell.integer(UInt64.self))
        case .float4: return Double(Float(bitPattern: try cell.integer(UInt32.self)))
        case .numeric:
            guard let value = Double(try PostgresNumeric(cell).description) else { throw cell.mismatch("a number") }
            return value
        default: return Double(try Int64.decode(cell))
        }
    }
}

extension UUID: PostgresDecodable {
    package static func decode(_ cell: PostgresCell) throws(PostgresError) -> UUID {
        let bytes = try cell.value()
        guard cell.type == .uuid, bytes.count == 16 else { throw cell.mismatch("a uuid") }
        return UUID(uuid: bytes.loadUnaligned(as: uuid_t.self))
    }
}

extension Identifier: PostgresDecodable {
    package static func decode(_ cell: PostgresCell) throws(PostgresError) -> Self { Self(try UUID.decode(cell)) }
}

/// timestamptz and timestamp (read as UTC).
extension Date: PostgresDecodable {
    package static func decode(_ cell: PostgresCell) throws(PostgresError) -> Date {
        guard cell.type == .timestamptz || cell.type == .timestamp else { throw cell.mismatch("a timestamp") }
        let microseconds = try cell.integer(Int64.self)
        if microseconds == .max { return .distantFuture }
        if microseconds == .min { return .distantPast }
        return Date(microseconds: microseconds + microsecondsToPostgresEpoch)
    }
}

extension Data: PostgresDecodable {
    package static func decode(_ cell: PostgresCell) throws(PostgresError) -> Data {
        guard cell.type == .bytea else { throw cell.mismatch("bytea") }
        return Data(try cell.value())
    }
}

extension Array: PostgresDecodable where Element: PostgresArrayDecodable {
    package static func decode(_ cell: PostgresCell) throws(PostgresError) -> [Element] {
        try Element.decodeArray(cell)
    }
}

/// An element of an array column.
package protocol PostgresArrayDecodable {
    static func decodeArray(_ cell: PostgresCell) throws(PostgresError) -> [Self]
}

extension PostgresArrayDecodable where Self: PostgresDecodable {
    package static func decodeArray(_ cell: PostgresCell) throws(PostgresError) -> [Self] { try cell.elements() }
}

extension String: PostgresArrayDecodable {}
extension Int: PostgresArrayDecodable {}
extension Int64: PostgresArrayDecodable {}
extension UUID: PostgresArrayDecodable {}
extension Identifier: PostgresArrayDecodable {}

/// `[UInt8]` is a bytea.
extension UInt8: PostgresArrayDecodable {
    package static func decodeArray(_ cell: PostgresCell) throws(PostgresError) -> [UInt8] {
        guard cell.type == .bytea else { throw cell.mismatch("bytea") }
        return Array(try cell.value())
    }
}

/// A json or jsonb column as a Codable value.
package struct PostgresJSONValue<Value: Decodable>: PostgresDecodable {
    package let value: Value

    package static func decode(_ cell: PostgresCell) throws(PostgresError) -> PostgresJSONValue<Value> {
        do {
            return PostgresJSONValue(value: try JSONDecoder().decode(Value.self, from: Data(try cell.json())))
        } catch let error as PostgresError {
            throw error
        } catch {
            throw cell.failure("JSON is not a \(Value.self)")
        }
    }
}

/// A json or jsonb column as a type that reads itself.
package struct PostgresJSONDocument<Value: JSONReadable>: PostgresDecodable {
    package let value: Value

    package static func decode(_ cell: PostgresCell) throws(PostgresError) -> PostgresJSONDocument<Value> {
        let bytes = try cell.json()
        do {
            return PostgresJSONDocument(value: try Value(json: Array(bytes)))
        } catch {
            throw cell.failure("JSON is not a \(Value.self): \(error)")
        }
    }
}

extension PostgresCell {
    /// The text of a json or jsonb column.
    func json() throws(PostgresError) -> UnsafeRawBufferPointer {
        let bytes = try value()
        switch type {
        case .json: return bytes
        case .jsonb: return UnsafeRawBufferPointer(rebasing: bytes.dropFirst())
        default: throw mismatch("JSON")
        }
    }
}

extension PostgresCell {
    /// The elements of a one-dimensional array.
    func elements<Element: PostgresDecodable>() throws(PostgresError) -> [Element] {
        var rest = try value()[...]
        let dimensions = try number(&rest)
        _ = try number(&rest)
        let elementType = PostgresType(rawValue: UInt32(bitPattern: try number(&rest)))
        guard dimensions > 0 else { return [] }
        guard dimensions == 1 else { throw failure("has \(dimensions) dimensions") }
        let count = try number(&rest)
        _ = try number(&rest)
        // Each element has a length at least, so the count can't claim more memory than arrived.
        guard count >= 0, Int(count) * 4 <= rest.count else { throw failure("is a malformed array") }
        var elements: [Element] = []
        elements.reserveCapacity(Int(count))
        for _ in 0..<count {
            let length = Int(try number(&rest))
            guard length <= rest.count else { throw failure("is a malformed array") }
            let bytes = length < 0 ? nil : UnsafeRawBufferPointer(rebasing: rest.prefix(length))
            elements.append(try Element.decode(PostgresCell(type: elementType, bytes: bytes, name: name)))
            rest = rest.dropFirst(max(length, 0))
        }
        return elements
    }

    private func number(_ rest: inout Slice<UnsafeRawBufferPointer>) throws(PostgresError) -> Int32 {
        guard rest.count >= 4 else { throw failure("is malformed") }
        let number = Int32(bigEndian: UnsafeRawBufferPointer(rebasing: rest.prefix(4)).loadUnaligned(as: Int32.self))
        rest = rest.dropFirst(4)
        return number
    }
}
