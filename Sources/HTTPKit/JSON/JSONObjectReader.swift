package import Primitives

/// Takes a JSON object apart, strictly: wrong types and unknown members become a 400 that says which.
///
/// Take every member the operation knows, then call ``finish()``, which refuses what is left.
///
///     var body = try await context.jsonObject(request, key: "flavor")
///     let name = try body.requiredString("name", length: 1...255)
///     let vcpus = try body.requiredInteger("vcpus", in: 1...2_147_483_647)
///     try body.finish()
package struct JSONObjectReader {
    /// Which object this is, for messages: `server.networks[0]`.
    package private(set) var path: String
    private var rest: [String: JSONValue]

    /// - Throws: a 400 when `value` is no object.
    package init(_ value: JSONValue, path: String) throws(APIFault) {
        guard case .object(let members) = value else { throw Self.mismatch(path, value, "object") }
        self.path = path
        rest = members
    }

    /// The same object under another name, for messages.
    package func renamed(_ path: String) -> JSONObjectReader {
        var copy = self
        copy.path = path
        return copy
    }

    package var remainingKeys: [String] { rest.keys.sorted() }

    /// Whether the member is there and not taken yet, `null` included.
    package func has(_ key: String) -> Bool { rest[key] != nil }

    /// - Throws: a 400 that names the members nobody asked for.
    package func finish() throws(APIFault) {
        guard !rest.isEmpty else { return }
        let names = rest.keys.sorted().prefix(Self.nameLimit).map { "'\(Self.clip($0))'" }.joined(separator: ", ")
        throw .badRequest(
            "Invalid input for field/attribute \(path). Additional properties are not allowed (\(names) "
                + "\(rest.count == 1 ? "was" : "were") unexpected)")
    }

    /// The member as it is; nil when absent.
    package mutating func value(_ key: String) -> JSONValue? { rest.removeValue(forKey: key) }

    package mutating func requiredValue(_ key: String) throws(APIFault) -> JSONValue {
        guard let value = value(key) else { throw missing(key) }
        return value
    }

    /// nil when absent, or when `null` and that is allowed. `length` counts code points, as JSON Schema does: of one visible
    /// character there is no longest form.
    package mutating func string(
        _ key: String, length: ClosedRange<Int> = 0...65_535, nullable: Bool = false
    ) throws(APIFault) -> String? {
        guard let value = take(key, nullable: nullable) else { return nil }
        guard case .string(let text) = value else { throw Self.mismatch(name(key), value, "string") }
        let count = text.unicodeScalars.count
        if count < length.lowerBound { throw invalid(key, value, "is too short") }
        if count > length.upperBound { throw invalid(key, value, "is too long") }
        return text
    }

    package mutating func requiredString(_ key: String, length: ClosedRange<Int> = 0...65_535) throws(APIFault)
        -> String
    {
        guard let text = try string(key, length: length) else { throw missing(key) }
        return text
    }

    /// Only JSON's `true` and `false`.
    package mutating func bool(_ key: String, nullable: Bool = false) throws(APIFault) -> Bool? {
        guard let value = take(key, nullable: nullable) else { return nil }
        guard case .bool(let flag) = value else { throw Self.mismatch(name(key), value, "boolean") }
        return flag
    }

    /// Integers, and with `acceptsText` also text that holds one, as Nova takes for flavors.
    package mutating func integer(
        _ key: String, in range: ClosedRange<Int> = Int.min...Int.max, nullable: Bool = false, acceptsText: Bool = false
    ) throws(APIFault) -> Int? {
        guard let value = take(key, nullable: nullable) else { return nil }
        var number: Int?
        if case .integer(let integer) = value { number = Int(integer) }
        if acceptsText, case .string(let text) = value { number = Int(text) }
        guard let number else { throw Self.mismatch(name(key), value, "integer") }
        if number < range.lowerBound { throw invalid(key, value, "is less than the minimum of \(range.lowerBound)") }
        if number > range.upperBound { throw invalid(key, value, "is greater than the maximum of \(range.upperBound)") }
        return number
    }

    package mutating func requiredInteger(
        _ key: String, in range: ClosedRange<Int> = Int.min...Int.max, acceptsText: Bool = false
    ) throws(APIFault) -> Int {
        guard let number = try integer(key, in: range, acceptsText: acceptsText) else { throw missing(key) }
        return number
    }

    package mutating func object(_ key: String, nullable: Bool = false) throws(APIFault) -> JSONObjectReader? {
        guard let value = take(key, nullable: nullable) else { return nil }
        return try JSONObjectReader(value, path: name(key))
    }

    package mutating func requiredObject(_ key: String) throws(APIFault) -> JSONObjectReader {
        guard let reader = try object(key) else { throw missing(key) }
        return reader
    }

    package mutating func array(
        _ key: String, count: ClosedRange<Int> = 0...100_000, nullable: Bool = false
    ) throws(APIFault) -> [JSONValue]? {
        guard let value = take(key, nullable: nullable) else { return nil }
        guard case .array(let elements) = value else { throw Self.mismatch(name(key), value, "array") }
        if elements.count < count.lowerBound { throw invalid(key, value, "is too short") }
        if elements.count > count.upperBound { throw invalid(key, value, "is too long") }
        return elements
    }

    /// An array of objects, each with its own reader.
    package mutating func objects(
        _ key: String, count: ClosedRange<Int> = 0...100_000, nullable: Bool = false
    ) throws(APIFault) -> [JSONObjectReader]? {
        guard let elements = try array(key, count: count, nullable: nullable) else { return nil }
        var readers: [JSONObjectReader] = []
        for (index, element) in elements.enumerated() {
            readers.append(try JSONObjectReader(element, path: "\(name(key))[\(index)]"))
        }
        return readers
    }

    package mutating func strings(_ key: String, nullable: Bool = false) throws(APIFault) -> [String]? {
        guard let elements = try array(key, nullable: nullable) else { return nil }
        var texts: [String] = []
        for (index, element) in elements.enumerated() {
            guard case .string(let text) = element else {
                throw Self.mismatch("\(name(key))[\(index)]", element, "string")
            }
            texts.append(text)
        }
        return texts
    }

    /// An object whose members are all text, with bounds on keys and values (metadata).
    package mutating func textMap(
        _ key: String, keyLength: ClosedRange<Int> = 1...255, valueLength: ClosedRange<Int> = 0...255,
        nullable: Bool = false
    ) throws(APIFault) -> [String: String]? {
        guard let value = take(key, nullable: nullable) else { return nil }
        guard case .object(let members) = value else { throw Self.mismatch(name(key), value, "object") }
        var map: [String: String] = [:]
        for (member, value) in members {
            guard case .string(let text) = value else {
                throw Self.mismatch("\(name(key)).\(member)", value, "string")
            }
            guard keyLength.contains(member.unicodeScalars.count) else {
                throw invalid(key, .string(member), "has a bad length")
            }
            guard valueLength.contains(text.unicodeScalars.count) else {
                throw invalid("\(key).\(member)", value, "is too long")
            }
            map[member] = text
        }
        return map
    }

    /// The 400 for a member whose value is of the right type and still wrong; `reason` completes "`value` ...".
    package func invalid(_ key: String, _ value: JSONValue, _ reason: String) -> APIFault {
        .badRequest(
            "Invalid input for field/attribute \(Self.clip(key)). Value: \(Self.quote(value)). \(Self.quote(value)) "
                + reason)
    }

    /// The 400 for a member that must be there.
    package func missing(_ key: String) -> APIFault {
        .badRequest("Invalid input for field/attribute \(path). '\(key)' is a required property")
    }

    private mutating func take(_ key: String, nullable: Bool) -> JSONValue? {
        guard let value = rest.removeValue(forKey: key) else { return nil }
        if nullable, value == .null { return nil }
        return value
    }

    private func name(_ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

    private static func mismatch(_ name: String, _ value: JSONValue, _ type: String) -> APIFault {
        let last = name.split(separator: ".").last.map(String.init) ?? name
        return .badRequest(
            "Invalid input for field/attribute \(clip(last)). Value: \(quote(value)). \(quote(value)) is not of type "
                + "'\(type)'"
        )
    }

    /// Characters of a client's value that a message repeats.
    private static let quoteLimit = 100

    private static func quote(_ value: JSONValue) -> String {
        clip(value.string ?? value.text)
    }

    /// Unknown members that a message names.
    private static let nameLimit = 10

    private static func clip(_ text: String) -> String {
        let scalars = text.unicodeScalars
        return scalars.count > quoteLimit ? String(scalars.prefix(quoteLimit)) + "..." : text
    }
}
