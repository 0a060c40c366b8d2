package import FoundationEssentials
package import Primitives

/// A value that can stand in a ``Statement`` as a bound parameter.
package protocol PostgresEncodable {
    /// The type the parameter is declared with, whether the value is there or NULL.
    static var postgresType: PostgresType { get }
    /// Appends the value in PostgreSQL's binary format (in text format where `postgresType` is `.inferred`).
    func encode(into bytes: inout [UInt8]) throws(PostgresError)
}

/// An element of an array parameter, for `= any($1)`.
package protocol PostgresArrayEncodable {
    static var postgresArrayType: PostgresType { get }
    static func encodeArray(_ elements: [Self], into bytes: inout [UInt8]) throws(PostgresError)
}

extension PostgresEncodable where Self: RawRepresentable, RawValue: PostgresEncodable {
    package static var postgresType: PostgresType { RawValue.postgresType }
    package func encode(into bytes: inout [UInt8]) throws(PostgresError) { try rawValue.encode(into: &bytes) }
}

/// Sent with an undeclared type, so that text can also stand for a uuid, an enum, an inet or a jsonb.
extension String: PostgresEncodable {
    package static var postgresType: PostgresType { .inferred }

    package func encode(into bytes: inout [UInt8]) throws(PostgresError) {
        let start = bytes.endIndex
        bytes.append(contentsOf: utf8)
        if bytes[start...].contains(0) { throw .encoding("PostgreSQL's text can't hold a NUL character") }
    }
}

extension Bool: PostgresEncodable {
    package static var postgresType: PostgresType { .bool }
    package func encode(into bytes: inout [UInt8]) { bytes.append(self ? 1 : 0) }
}

extension Int16: PostgresEncodable {
    package static var postgresType: PostgresType { .int2 }
    package func encode(into bytes: inout [UInt8]) { bytes.append(bigEndian: self) }
}

extension Int32: PostgresEncodable {
    package static var postgresType: PostgresType { .int4 }
    package func encode(into bytes: inout [UInt8]) { bytes.append(bigEndian: self) }
}

extension Int64: PostgresEncodable {
    package static var postgresType: PostgresType { .int8 }
    package func encode(into bytes: inout [UInt8]) { bytes.append(bigEndian: self) }
}

extension Int: PostgresEncodable {
    package static var postgresType: PostgresType { .int8 }
    package func encode(into bytes: inout [UInt8]) { bytes.append(bigEndian: Int64(self)) }
}

extension Double: PostgresEncodable {
    package static var postgresType: PostgresType { .float8 }
    package func encode(into bytes: inout [UInt8]) { bytes.append(bigEndian: bitPattern) }
}

extension UUID: PostgresEncodable {
    package static var postgresType: PostgresType { .uuid }
    package func encode(into bytes: inout [UInt8]) { withUnsafeBytes(of: uuid) { bytes.append(contentsOf: $0) } }
}

extension Identifier: PostgresEncodable {
    package static var postgresType: PostgresType { .uuid }
    package func encode(into bytes: inout [UInt8]) { uuid.encode(into: &bytes) }
}

/// timestamptz, to the microsecond; the distant past and future are PostgreSQL's infinities.
extension Date: PostgresEncodable {
    /// From 1970 to the day that PostgreSQL counts from, 2000-01-01.
    static let microsecondsToPostgresEpoch: Int64 = 946_684_800_000_000

    package static var postgresType: PostgresType { .timestamptz }

    package func encode(into bytes: inout [UInt8]) throws(PostgresError) {
        if self == .distantFuture { return bytes.append(bigEndian: Int64.max) }
        if self == .distantPast { return bytes.append(bigEndian: Int64.min) }
        guard abs(timeIntervalSinceReferenceDate) < 8e12 else { throw .encoding("date out of range") }
        bytes.append(bigEndian: microseconds - Self.microsecondsToPostgresEpoch)
    }
}

extension Data: PostgresEncodable {
    package static var postgresType: PostgresType { .bytea }
    package func encode(into bytes: inout [UInt8]) { bytes.append(contentsOf: self) }
}

extension Array: PostgresEncodable where Element: PostgresArrayEncodable {
    package static var postgresType: PostgresType { Element.postgresArrayType }
    package func encode(into bytes: inout [UInt8]) throws(PostgresError) {
        try Element.encodeArray(self, into: &bytes)
    }
}

/// `[UInt8]` is a bytea, not an array of numbers.
extension UInt8: PostgresArrayEncodable {
    package static var postgresArrayType: PostgresType { .bytea }
    package static func encodeArray(_ elements: [UInt8], into bytes: inout [UInt8]) {
        bytes.append(contentsOf: elements)
    }
}

extension String: PostgresArrayEncodable {
    package static var postgresArrayType: PostgresType { .textArray }
    package static func encodeArray(_ elements: [String], into bytes: inout [UInt8]) throws(PostgresError) {
        try bytes.append(array: elements, of: .text)
    }
}

extension UUID: PostgresArrayEncodable {
    package static var postgresArrayType: PostgresType { .uuidArray }
    package static func encodeArray(_ elements: [UUID], into bytes: inout [UInt8]) throws(PostgresError) {
        try bytes.append(array: elements, of: .uuid)
    }
}

extension Identifier: PostgresArrayEncodable {
    package static var postgresArrayType: PostgresType { .uuidArray }
    package static func encodeArray(_ elements: [Self], into bytes: inout [UInt8]) throws(PostgresError) {
        try bytes.append(array: elements, of: .uuid)
    }
}

extension Int64: PostgresArrayEncodable {
    package static var postgresArrayType: PostgresType { .int8Array }
    package static func encodeArray(_ elements: [Int64], into bytes: inout [UInt8]) throws(PostgresError) {
        try bytes.append(array: elements, of: .int8)
    }
}

extension Int: PostgresArrayEncodable {
    package static var postgresArrayType: PostgresType { .int8Array }
    package static func encodeArray(_ elements: [Int], into bytes: inout [UInt8]) throws(PostgresError) {
        try bytes.append(array: elements, of: .int8)
    }
}

/// A value that is stored as jsonb.
package struct PostgresJSON: PostgresEncodable {
    /// jsonb's binary format: one version byte, then the text.
    static let version: UInt8 = 1

    fileprivate let encoded: Result<Data, PostgresError>

    /// Encodes at once; a failure is thrown by the call that sends the statement.
    package static func json(_ value: any Encodable) -> PostgresJSON { PostgresJSON(value) }

    package init(_ value: any Encodable) {
        do {
            encoded = .success(try JSONEncoder().encode(value))
        } catch {
            encoded = .failure(.encoding("\(type(of: value)) has no JSON form"))
        }
    }

    /// JSON that was rendered already.
    package init(text: String) { encoded = .success(Data(text.utf8)) }

    package static var postgresType: PostgresType { .jsonb }

    package func encode(into bytes: inout [UInt8]) throws(PostgresError) {
        bytes.append(Self.version)
        bytes.append(contentsOf: try encoded.get())
    }
}

/// A value that is stored as json, which the server keeps as it was written: cheaper to send and to read than jsonb, for
/// what no statement looks into often.
package struct PostgresDocument: PostgresEncodable {
    private let json: PostgresJSON

    /// Encodes at once; a failure is thrown by the call that sends the statement.
    package init(_ value: any Encodable) { json = PostgresJSON(value) }

    package static var postgresType: PostgresType { .json }

    package func encode(into bytes: inout [UInt8]) throws(PostgresError) {
        bytes.append(contentsOf: try json.encoded.get())
    }
}

extension [UInt8] {
    mutating func append(bigEndian value: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: value.bigEndian) { append(contentsOf: $0) }
    }

    /// PostgreSQL's binary form of an array: dimensions, NULL flag, element type, length and lower bound, elements.
    mutating func append<Item: PostgresEncodable>(
        array elements: [Item], of type: PostgresType
    ) throws(PostgresError) {
        append(bigEndian: Int32(elements.isEmpty ? 0 : 1))
        append(bigEndian: Int32(0))
        append(bigEndian: type.rawValue)
        guard !elements.isEmpty else { return }
        append(bigEndian: Int32(elements.count))
        append(bigEndian: Int32(1))
        for element in elements {
            let lengthAt = count
            append(bigEndian: Int32(0))
            try element.encode(into: &self)
            let length = Int32(count - lengthAt - 4)
            Swift.withUnsafeBytes(of: length.bigEndian) { replaceSubrange(lengthAt..<lengthAt + 4, with: $0) }
        }
    }
}
