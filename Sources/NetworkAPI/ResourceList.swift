import HTTPKit
import HTTPTypes
import Hummingbird
import Primitives

/// What every list of the network API can do with its query: filters, order, pages, fields.
struct ResourceList {
    /// Rows of one page, at most.
    static let pageLimit = 1000
    private static let reserved: Set<String> = ["fields", "limit", "marker", "sort_key", "sort_dir", "page_reverse"]

    private let query: QueryParameters
    private let collection: String
    private let baseURL: String

    init(_ request: NetworkRequest, _ collection: String) {
        query = request.query
        self.collection = collection
        baseURL = "\(request.context.serviceURL)/v2.0/\(collection)"
    }

    /// `{"networks": [...], "networks_links": [...]}`
    func response(_ rows: [[String: JSONValue]]) throws -> Response {
        var matching = rows.filter(matches)
        try sort(&matching)
        var body: [String: JSONValue] = [:]
        let key = collection.replacing("-", with: "_")
        let page = try cut(&matching)
        if !page.isEmpty { body["\(key)_links"] = .array(page) }
        body[key] = .array(matching.map { .object(fields($0)) })
        return .json(.object(body))
    }

    /// One thing with the fields that were asked for.
    static func one(
        _ key: String, _ row: [String: JSONValue], _ request: NetworkRequest, status: HTTPResponse.Status = .ok
    ) -> Response {
        let list = ResourceList(request, key)
        return .json(.object([key: .object(status == .ok ? list.fields(row) : row)]), status: status)
    }

    private func fields(_ row: [String: JSONValue]) -> [String: JSONValue] {
        let wanted = query.all("fields").filter { !$0.isEmpty }
        return wanted.isEmpty ? row : row.filter { wanted.contains($0.key) }
    }

    /// Each filter must hold for one of its values. Names that the rows do not have filter nothing.
    private func matches(_ row: [String: JSONValue]) -> Bool {
        for name in Set(query.items.map(\.name)) where !Self.reserved.contains(name) {
            guard let value = row[name] else { continue }
            if !query.all(name).contains(where: { Self.holds(value, $0) }) { return false }
        }
        return true
    }

    private static func holds(_ value: JSONValue, _ text: String) -> Bool {
        switch value {
        case .null: text.isEmpty || text == "None"
        case .bool(let flag): QueryParameters.bool(text) == flag
        case .integer(let number): Int64(text) == number
        case .number(let number): Double(text) == number
        case .string(let string): string == text
        case .array(let elements): elements.contains { holds($0, text) }
        case .object(let members): holdsMember(members, text)
        }
    }

    /// `fixed_ips=ip_address=10.0.0.5`
    private static func holdsMember(_ members: [String: JSONValue], _ text: String) -> Bool {
        let parts = text.split(separator: "=", maxSplits: 1).map(String.init)
        guard parts.count == 2, let value = members[parts[0]] else { return false }
        return holds(value, parts[1])
    }

    private func sort(_ rows: inout [[String: JSONValue]]) throws(APIFault) {
        let keys = query.all("sort_key")
        let directions = query.all("sort_dir")
        guard directions.isEmpty || directions.count == keys.count || keys.isEmpty else {
            throw .badRequest("The number of sort_keys and sort_dirs must be same")
        }
        var order: [(key: String, isAscending: Bool)] = []
        for (index, key) in keys.enumerated() {
            let direction = directions.isEmpty ? "asc" : directions[index]
            guard ["asc", "desc"].contains(direction) else {
                throw .badRequest("The value of sort_dir must be 'asc' or 'desc'.")
            }
            if let first = rows.first {
                switch first[key] {
                case nil, .array?, .object?:
                    throw .badRequest("'\(key.prefix(100))' is an invalid attribute for sort key")
                case .null?, .bool?, .integer?, .number?, .string?: break
                }
            }
            order.append((key, direction == "asc"))
        }
        rows.sort { left, right in
            for (key, isAscending) in order {
                let comparison = Self.compare(left[key], right[key])
                if comparison != 0 { return isAscending ? comparison < 0 : comparison > 0 }
            }
            return Self.compare(left["id"], right["id"]) < 0
        }
    }

    private static func compare(_ left: JSONValue?, _ right: JSONValue?) -> Int {
        switch (left, right) {
        case (.integer(let left)?, .integer(let right)?): left == right ? 0 : left < right ? -1 : 1
        case (.bool(let left)?, .bool(let right)?): left == right ? 0 : left ? 1 : -1
        case (.string(let left)?, .string(let right)?): left == right ? 0 : left < right ? -1 : 1
        case (.null?, .null?), (nil, nil): 0
        case (.null?, _), (nil, _): -1
        case (_, .null?), (_, nil): 1
        default: 0
        }
    }

    /// Leaves the page in `rows` and answers its links.
    private func cut(_ rows: inout [[String: JSONValue]]) throws(APIFault) -> [JSONValue] {
        let wanted = try query.integer("limit")
        let limit = min(wanted.flatMap { $0 == 0 ? nil : $0 } ?? Self.pageLimit, Self.pageLimit)
        let isReverse = try query.bool("page_reverse") ?? false
        var start = isReverse ? rows.count : 0
        if let marker = query["marker"] {
            guard let index = rows.firstIndex(where: { $0["id"]?.string == marker }) else {
                throw .badRequest("The marker \(marker.prefix(100)) could not be found.")
            }
            start = isReverse ? index : index + 1
        }
        let range = isReverse ? max(0, start - limit)..<start : start..<min(rows.count, start + limit)
        let hasNext = range.upperBound < rows.count
        let hasPrevious = range.lowerBound > 0
        rows = Array(rows[range])
        guard wanted != nil else { return [] }
        var links: [JSONValue] = []
        if hasNext, let last = rows.last?["id"]?.string { links.append(link("next", last, isReverse: false)) }
        if hasPrevious, let first = rows.first?["id"]?.string { links.append(link("previous", first, isReverse: true)) }
        return links
    }

    private func link(_ relation: String, _ marker: String, isReverse: Bool) -> JSONValue {
        let changed = query.replacing([("marker", marker), ("page_reverse", isReverse ? "True" : nil)])
        return ["rel": .string(relation), "href": .string("\(baseURL)?\(changed.encoded)")]
    }
}
