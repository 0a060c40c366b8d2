package import FoundationEssentials

/// What writes itself as JSON member by member. The text is one that the type's `Codable` form reads.
package protocol JSONWritable {
    /// Writes the members of the object.
    func write(to writer: inout JSONWriter)
}

extension JSONWritable {
    /// The document.
    package var json: [UInt8] {
        var writer = JSONWriter()
        writer.object { write(to: &$0) }
        return writer.bytes
    }
}

extension JSONWriter {
    package mutating func field(_ name: String, _ value: some JSONWritable) {
        object(name) { value.write(to: &$0) }
    }

    /// Seconds since 2001, as `Codable` writes a date.
    package mutating func field(_ name: String, _ value: Date) {
        field(name, value.timeIntervalSinceReferenceDate)
    }

    // Left out for nil, as `Codable` does.

    package mutating func field(_ name: String, ifAny value: (some JSONWritable)?) {
        if let value { field(name, value) }
    }

    package mutating func field(_ name: String, ifAny value: String?) {
        if let value { field(name, value) }
    }

    package mutating func field(_ name: String, ifAny value: Int?) {
        if let value { field(name, value) }
    }

    package mutating func field(_ name: String, ifAny value: Date?) {
        if let value { field(name, value) }
    }
}
