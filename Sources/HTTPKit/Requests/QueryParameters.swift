package import Hummingbird

/// The query of a request, decoded, repeated keys kept in order.
package struct QueryParameters: Sendable, Equatable {
    package struct Item: Sendable, Equatable {
        package let name: String
        package let value: String
        package init(name: String, value: String) {
            self.name = name
            self.value = value
        }
    }

    package let items: [Item]

    package init(_ items: [Item]) { self.items = items }

    /// - Throws: a 400 for broken percent-coding.
    package init(_ query: String?) throws(APIFault) {
        var items: [Item] = []
        for pair in (query ?? "").split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = PercentCoding.decode(parts[0], plusIsSpace: true),
                let value = PercentCoding.decode(parts.count > 1 ? parts[1] : "", plusIsSpace: true)
            else { throw .badRequest("The query string is not properly encoded.") }
            items.append(Item(name: name, value: value))
        }
        self.items = items
    }

    /// The first value of `name`.
    package subscript(name: String) -> String? { items.first { $0.name == name }?.value }
    package func all(_ name: String) -> [String] { items.filter { $0.name == name }.map(\.value) }
    package func has(_ name: String) -> Bool { items.contains { $0.name == name } }

    /// - Throws: a 400 for a value that is no integer in `range`.
    package func integer(_ name: String, in range: ClosedRange<Int> = 0...Int.max) throws(APIFault) -> Int? {
        guard let text = self[name] else { return nil }
        guard let number = Int(text) else {
            throw .badRequest("Invalid input for query parameter \(name): '\(text.prefix(100))' is not an integer.")
        }
        guard range.contains(number) else {
            throw .badRequest("Invalid input for query parameter \(name): \(number) is out of range.")
        }
        return number
    }

    /// OpenStack's spellings of a truth value.
    /// - Throws: a 400 for anything else.
    package func bool(_ name: String) throws(APIFault) -> Bool? {
        guard let text = self[name] else { return nil }
        guard let flag = Self.bool(text) else {
            throw .badRequest("Invalid input for query parameter \(name): '\(text.prefix(100))' is not a boolean.")
        }
        return flag
    }

    /// `true` for 1, t, true, on, y, yes; `false` for 0, f, false, off, n, no; nil for anything else; any case.
    package static func bool(_ text: String) -> Bool? {
        switch text.lowercased() {
        case "1", "t", "true", "on", "y", "yes": true
        case "0", "f", "false", "off", "n", "no": false
        default: nil
        }
    }

    /// The same query with `changes` put in place of what those names had; a nil value removes the name.
    package func replacing(_ changes: [(name: String, value: String?)]) -> QueryParameters {
        var kept = items.filter { item in !changes.contains { $0.name == item.name } }
        for change in changes { if let value = change.value { kept.append(Item(name: change.name, value: value)) } }
        return QueryParameters(kept)
    }

    /// Encoded for a URL, without the question mark.
    package var encoded: String {
        items.map { "\(PercentCoding.encode($0.name))=\(PercentCoding.encode($0.value))" }.joined(separator: "&")
    }
}

extension Request {
    /// - Throws: a 400 for broken percent-coding.
    package func queryParameters() throws(APIFault) -> QueryParameters { try QueryParameters(uri.query) }
}

/// `limit` and `marker`, as every list takes them.
package struct PageRequest: Sendable, Equatable {
    /// Rows wanted, never above the service's maximum.
    package let limit: Int
    package let marker: String?

    /// A limit of 0 or above `maximum` becomes `maximum`, as Nova does.
    /// - Throws: a 400 for a limit that is no integer or negative.
    package init(_ query: QueryParameters, maximum: Int) throws(APIFault) {
        let wanted = try query.integer("limit") ?? maximum
        limit = wanted == 0 ? maximum : min(wanted, maximum)
        marker = query["marker"]
    }

    /// The URL of the page behind the one that ends with `lastID`, other parameters kept.
    package static func nextLink(base: String, query: QueryParameters, lastID: String, limit: Int? = nil) -> String {
        var changes: [(name: String, value: String?)] = [("marker", lastID)]
        if let limit { changes.insert(("limit", String(limit)), at: 0) }
        return "\(base)?\(query.replacing(changes).encoded)"
    }
}
