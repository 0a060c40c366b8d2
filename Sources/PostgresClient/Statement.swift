/// SQL with its bound values: `"select name from instances where id = \(id)"`.
///
/// An interpolated value never becomes part of the text: it is sent beside it as `$1`, `$2`, ... Only `\(raw:)` adds text;
/// keep it for identifiers and fragments that the program itself wrote. Text is sent with an undeclared type: where the
/// server can't infer one (`\(text) is null`), write `\(text)::text`.
package struct Statement: Sendable, Equatable {
    struct Bind: Sendable, Equatable {
        let type: PostgresType
        /// Where the value stands in `bytes`; `nil` is NULL.
        let range: Range<Int>?
        /// Where the placeholder stands in the text, in UTF-8.
        let position: Int
    }

    package private(set) var sql: String
    /// Kept prepared on the connection for the next use. Switch it off for statements that run once, such as DDL.
    package var isPrepared = true
    private(set) var binds: [Bind] = []
    private(set) var bytes: [UInt8] = []
    private(set) var failure: PostgresError?

    /// A fixed text without values that the program wrote itself.
    package init(raw sql: String) { self.sql = sql }

    /// The same statement, not kept prepared.
    package var once: Statement {
        var copy = self
        copy.isPrepared = false
        return copy
    }

    /// Takes a moment and changes nothing, and may run twice: it may share a round trip with others that say the same. One
    /// that takes longer keeps all of those waiting.
    private(set) var isBrief = false
    package var brief: Statement {
        var copy = self
        copy.isBrief = true
        return copy
    }

    /// What its schemas are called in the database; nil where that is what the text says.
    var names: SchemaNames?

    /// The text that the server is sent.
    var sentText: String { names?.renamed(in: sql) ?? sql }

    package var bindCount: Int { binds.count }

    /// The most values in one statement, by the protocol.
    static let bindLimit = 65535
}

extension [Statement] {
    func naming(_ names: SchemaNames?) -> [Statement] {
        guard let names else { return self }
        return map { statement in
            var copy = statement
            copy.names = names
            return copy
        }
    }
}

/// Only the text: the values may be secrets.
extension Statement: CustomStringConvertible, CustomReflectable {
    package var description: String { sql }
    package var customMirror: Mirror { Mirror(self, children: ["sql": sql]) }
}

extension Statement: ExpressibleByStringInterpolation {
    package init(stringLiteral value: String) { self.init(raw: value) }
    package init(stringInterpolation interpolation: StringInterpolation) { self = interpolation.statement }

    package struct StringInterpolation: StringInterpolationProtocol {
        var statement = Statement(raw: "")

        package init(literalCapacity: Int, interpolationCount: Int) {
            statement.reserve(text: literalCapacity + interpolationCount * 3, values: interpolationCount)
        }

        package mutating func appendLiteral(_ literal: String) { statement.append(raw: literal) }

        package mutating func appendInterpolation(_ value: some PostgresEncodable) { statement.append(value) }

        package mutating func appendInterpolation<Value: PostgresEncodable>(_ value: Value?) {
            if let value { statement.append(value) } else { statement.appendNull(Value.postgresType) }
        }

        package mutating func appendInterpolation(_ value: PostgresJSON) { statement.append(value) }

        /// Trusted text: an identifier or a fragment of SQL. Never anything that came from outside.
        package mutating func appendInterpolation(raw: String) { statement.append(raw: raw) }

        /// A quoted identifier.
        package mutating func appendInterpolation(identifier: String) {
            statement.append(raw: SQLIdentifier.quoted(identifier))
        }

        /// Another statement with its values, for conditions that are put together.
        package mutating func appendInterpolation(fragment: Statement) { statement.append(fragment) }
    }
}

extension Statement {
    /// Appends trusted text.
    package mutating func append(raw text: String) { sql.append(text) }

    package mutating func append(_ value: some PostgresEncodable) {
        let start = bytes.count
        do throws(PostgresError) {
            try value.encode(into: &bytes)
        } catch {
            failure = failure ?? error
        }
        let end = bytes.count
        // Text travels as a C string.
        bytes.append(0)
        place(type(of: value).postgresType, start..<end)
    }

    package mutating func appendNull(_ type: PostgresType) { place(type, nil) }

    /// Appends another statement; its placeholders are numbered on.
    package mutating func append(_ fragment: Statement) {
        let text = fragment.sql.utf8
        let shift = bytes.count
        bytes.append(contentsOf: fragment.bytes)
        failure = failure ?? fragment.failure
        var from = 0
        for (index, bind) in fragment.binds.enumerated() {
            appendText(text, from..<bind.position)
            place(bind.type, bind.range.map { $0.lowerBound + shift..<$0.upperBound + shift })
            from = bind.position + Self.placeholder(index + 1).utf8.count
        }
        appendText(text, from..<text.count)
    }

    /// Several statements joined by trusted text, such as conditions by " and ".
    package static func joined(_ fragments: [Statement], separator: String) -> Statement {
        var whole = Statement(raw: "")
        for (index, fragment) in fragments.enumerated() {
            if index > 0 { whole.append(raw: separator) }
            whole.append(fragment)
        }
        return whole
    }

    /// `column = …`, `in (…)`, or `= any(…)` of many values or none.
    ///
    /// Of an array the server does not know before each execution how many rows it finds, and plans anew each time, which takes
    /// longer than finding a few rows. So up to ``listLimit`` values each have a place of their own; places are as many as the
    /// next power of two, the last value repeated, so that there are few such statements.
    package static func column<Value: PostgresEncodable & PostgresArrayEncodable>(
        _ column: String, isIn values: [Value]
    ) -> Statement {
        guard let last = values.last, values.count <= listLimit else { return "\(raw: column) = any(\(values))" }
        if values.count == 1 { return "\(raw: column) = \(last)" }
        var places = 1
        while places < values.count { places *= 2 }
        let padded = values + Array(repeating: last, count: places - values.count)
        let list = joined(padded.map { "\($0)" }, separator: ", ")
        return "\(raw: column) in (\(fragment: list))"
    }

    private static let listLimit = 64

    private static func placeholder(_ number: Int) -> String { "$\(number)" }

    private mutating func place(_ type: PostgresType, _ range: Range<Int>?) {
        if binds.count == Self.bindLimit { failure = failure ?? .encoding("too many values in one statement") }
        binds.append(Bind(type: type, range: range, position: sql.utf8.count))
        sql.append(Self.placeholder(binds.count))
    }

    private mutating func appendText(_ text: String.UTF8View, _ range: Range<Int>) {
        let from = text.index(text.startIndex, offsetBy: range.lowerBound)
        let to = text.index(from, offsetBy: range.count)
        sql.append(String(decoding: text[from..<to], as: UTF8.self))
    }

    private mutating func reserve(text: Int, values: Int) {
        sql.reserveCapacity(text)
        binds.reserveCapacity(values)
        bytes.reserveCapacity(values * 20)
    }
}
