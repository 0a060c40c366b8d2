package import FoundationEssentials

/// What reads itself from JSON member by member. The text is the one that the type's `Codable` form writes.
public protocol JSONReadable {
    init(_ reader: inout JSONReader) throws(JSONSyntaxError)
}

extension JSONReadable {
    /// The document that `bytes` hold.
    @inlinable public init(json bytes: [UInt8]) throws(JSONSyntaxError) {
        self = try JSONReader.document(bytes) { reader throws(JSONSyntaxError) in try Self(&reader) }
    }
}

extension JSONReader {
    @inlinable public mutating func integer<Value: FixedWidthInteger>(
        _: Value.Type = Value.self
    ) throws(JSONSyntaxError) -> Value {
        guard let value = Value(exactly: try integer64()) else {
            throw error("expected an integer")
        }
        return value
    }

    package mutating func double() throws(JSONSyntaxError) -> Double {
        switch try number() {
        case .integer(let value): return Double(value)
        case .number(let value): return value
        default: throw error("expected a number")
        }
    }

    /// Seconds since 2001, as `Codable` writes a date.
    package mutating func date() throws(JSONSyntaxError) -> Date {
        Date(timeIntervalSinceReferenceDate: try double())
    }

    /// A text that stands for a case or a thing.
    @inlinable public mutating func named<Value>(_ make: (String) -> Value?) throws(JSONSyntaxError) -> Value {
        let text = try string()
        guard let value = make(text) else { throw error("no \(Value.self): \(text.prefix(64))") }
        return value
    }

    @inlinable public mutating func optional<Value>(
        _ read: (inout JSONReader) throws(JSONSyntaxError) -> Value
    ) throws(JSONSyntaxError) -> Value? {
        try null() ? nil : try read(&self)
    }

    package mutating func optionalString() throws(JSONSyntaxError) -> String? { try null() ? nil : try string() }

    package mutating func strings() throws(JSONSyntaxError) -> [String] {
        var strings: [String] = []
        try array { reader throws(JSONSyntaxError) in strings.append(try reader.string()) }
        return strings
    }

    package mutating func stringMembers() throws(JSONSyntaxError) -> [String: String] {
        var members: [String: String] = [:]
        try object { (key, reader) throws(JSONSyntaxError) in members[try reader.text(of: key)] = try reader.string() }
        return members
    }

    @inlinable public mutating func values<Value: JSONReadable>(
        of _: Value.Type = Value.self
    ) throws(JSONSyntaxError) -> [Value] {
        var values: [Value] = []
        try array { reader throws(JSONSyntaxError) in values.append(try Value(&reader)) }
        return values
    }
}
