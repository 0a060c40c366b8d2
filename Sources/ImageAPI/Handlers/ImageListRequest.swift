import CloudModel
import FoundationEssentials
import HTTPKit
import Primitives

/// The query of `GET /v2/images`, understood.
struct ImageListRequest {
    static let defaultLimit = 25
    static let limitMaximum = 1000

    private static let ownNames: Set<String> = [
        "limit", "marker", "sort", "sort_key", "sort_dir", "member_status",
    ]

    let query: ImageQuery

    /// - Throws: a 400 for what can't be understood.
    init(_ parameters: QueryParameters, auth: AuthContext) throws(APIFault) {
        var query = ImageQuery(viewer: auth.isAdmin ? .administrator : .project(auth.projectID))
        query.sort = ImageQuery.total(try Self.sort(parameters))
        let limit = try parameters.integer("limit") ?? Self.defaultLimit
        query.limit = min(limit, Self.limitMaximum)
        if let marker = parameters["marker"] {
            guard let id = ImageID(marker) else { throw .badRequest("Marker image could not be found.") }
            query.marker = id
        }
        for item in parameters.items where !Self.ownNames.contains(item.name) {
            try Self.apply(item.name, item.value, to: &query)
        }
        self.query = query
    }

    private static func apply(_ name: String, _ value: String, to query: inout ImageQuery) throws(APIFault) {
        switch name {
        case "id": query.ids = try list(value).compactMap { ImageID($0) }
        case "name": query.names = try list(value)
        case "status": query.statuses = try list(value)
        case "disk_format": query.diskFormats = try list(value)
        case "container_format": query.containerFormats = try list(value)
        case "owner": query.owner = ProjectID(value)
        case "tag": query.tags.append(value)
        case "visibility": query.visibility = try visibility(value)
        case "size_min": query.sizeAtLeast = try size(name, value)
        case "size_max": query.sizeAtMost = try size(name, value)
        case "protected": query.isProtected = try flag(name, value)
        case "os_hidden": query.isHidden = try flag(name, value)
        case "created_at": query.times.append(try time(.createdAt, value))
        case "updated_at": query.times.append(try time(.updatedAt, value))
        default: query.properties[name] = value
        }
    }

    private static func visibility(_ value: String) throws(APIFault) -> ImageQuery.Visibility {
        if value == "all" { return .all }
        guard let visibility = ImageVisibility(rawValue: value) else {
            throw .badRequest("Invalid visibility value: \(value.prefix(40)).")
        }
        return .only(visibility)
    }

    private static func size(_ name: String, _ value: String) throws(APIFault) -> Int64 {
        guard let size = Int64(value), size >= 0 else {
            throw .badRequest("\(name) must be a number that is not negative.")
        }
        return size
    }

    private static func flag(_ name: String, _ value: String) throws(APIFault) -> Bool {
        switch value.lowercased() {
        case "true": return true
        case "false": return false
        default: throw .badRequest("Invalid value '\(value.prefix(40))' for '\(name)' filter: true or false is needed.")
        }
    }

    /// `2016-04-18T21:38:54Z`, or with a comparison before it: `gte:2016-04-18T21:38:54Z`.
    private static func time(
        _ field: ImageQuery.TimeFilter.Field, _ value: String
    ) throws(APIFault) -> ImageQuery.TimeFilter {
        var comparison = ImageQuery.Comparison.eq
        var text = value[...]
        if let colon = value.firstIndex(of: ":"), let known = ImageQuery.Comparison(rawValue: String(value[..<colon])) {
            comparison = known
            text = value[value.index(after: colon)...]
        }
        guard let time = Timestamp.parse(String(text)) else {
            throw .badRequest("'\(value.prefix(60))' is not a time in ISO 8601 format.")
        }
        return .init(field: field, comparison: comparison, time: time)
    }

    /// One value, or `in:a,b,"c,d"`.
    private static func list(_ value: String) throws(APIFault) -> [String] {
        guard value.hasPrefix("in:") else { return [value] }
        var values: [String] = []
        var current = ""
        var isQuoted = false
        for character in value.dropFirst(3) {
            switch character {
            case "\"": isQuoted.toggle()
            case "," where !isQuoted:
                values.append(current)
                current = ""
            default: current.append(character)
            }
        }
        guard !isQuoted else { throw .badRequest("A quote in the filter '\(value.prefix(60))' has no end.") }
        values.append(current)
        return values
    }

    /// `sort=name:asc,status:desc`, or `sort_key` and `sort_dir` as often as wanted.
    private static func sort(_ parameters: QueryParameters) throws(APIFault) -> [ImageQuery.Sort] {
        if let sort = parameters["sort"] {
            guard !parameters.has("sort_key"), !parameters.has("sort_dir") else {
                throw .badRequest("Old and new sorting syntax cannot be combined.")
            }
            var keys: [ImageQuery.Sort] = []
            for part in sort.split(separator: ",") {
                let words = part.split(separator: ":", maxSplits: 1).map(String.init)
                keys.append(try key(words[0], words.count > 1 ? words[1] : "desc"))
            }
            return keys
        }
        let (names, directions) = (parameters.all("sort_key"), parameters.all("sort_dir"))
        guard directions.count <= max(1, names.count) else {
            throw .badRequest("Number of sort dirs does not match the number of sort keys.")
        }
        if names.isEmpty, let direction = directions.first { return [try key("created_at", direction)] }
        guard directions.count <= 1 || directions.count == names.count else {
            throw .badRequest("Number of sort dirs does not match the number of sort keys.")
        }
        var keys: [ImageQuery.Sort] = []
        for (index, name) in names.enumerated() {
            keys.append(try key(name, directions.count > 1 ? directions[index] : directions.first ?? "desc"))
        }
        return keys
    }

    private static func key(_ name: String, _ direction: String) throws(APIFault) -> ImageQuery.Sort {
        guard let key = ImageQuery.SortKey(rawValue: name) else {
            throw .badRequest("Invalid sort key: \(name.prefix(40)).")
        }
        guard ["asc", "desc"].contains(direction) else {
            throw .badRequest("Invalid sort direction: \(direction.prefix(40)).")
        }
        return .init(key, isAscending: direction == "asc")
    }
}
