import CloudModel
import FoundationEssentials
import PostgresClient

/// The image list's filters and order as SQL. Column names are this file's own text; every value is bound.
enum ImageSQL {
    static let columns = """
        i.id, i.version, i.name, i.status, i.visibility, i.owner, i.disk_format, i.container_format, i.min_disk, \
        i.min_ram, i.protected, i.hidden, i.tags, i.properties, i.created_at, i.updated_at, i.content
        """

    /// One page, the marker being known to exist.
    static func page(_ query: ImageQuery) -> Statement {
        var conditions = conditions(query)
        if let marker = query.marker { conditions.append(after(marker, query.sort)) }
        var statement: Statement = "select \(raw: columns) from image.images i"
        if !conditions.isEmpty {
            statement.append(raw: " where ")
            statement.append(.joined(conditions, separator: " and "))
        }
        let order = query.sort.map { "\(expression($0.key, of: "i")) \($0.isAscending ? "asc" : "desc")" }
        statement.append(raw: " order by \(order.joined(separator: ", "))")
        statement.append(" limit \(max(0, query.limit))" as Statement)
        return statement
    }

    private static func conditions(_ query: ImageQuery) -> [Statement] {
        var conditions: [Statement] = ["i.hidden = \(query.isHidden)"]
        if let seen = visible(query) { conditions.append(seen) }
        if let ids = query.ids { conditions.append("i.id = any(\(ids))") }
        if let names = query.names { conditions.append("i.name = any(\(names))") }
        if let statuses = query.statuses { conditions.append("i.status = any(\(statuses))") }
        if let formats = query.diskFormats { conditions.append("i.disk_format = any(\(formats))") }
        if let formats = query.containerFormats { conditions.append("i.container_format = any(\(formats))") }
        if let owner = query.owner { conditions.append("i.owner = \(owner.text)") }
        if !query.tags.isEmpty { conditions.append("i.tags @> \(query.tags)") }
        if let size = query.sizeAtLeast { conditions.append("i.size_bytes >= \(size)") }
        if let size = query.sizeAtMost { conditions.append("i.size_bytes <= \(size)") }
        if let isProtected = query.isProtected { conditions.append("i.protected = \(isProtected)") }
        for (key, value) in query.properties.sorted(by: { $0.key < $1.key }) {
            conditions.append("i.properties ->> \(key)::text = \(value)::text")
        }
        return conditions + query.times.map(condition)
    }

    /// What the viewer may see, nil for everything.
    private static func visible(_ query: ImageQuery) -> Statement? {
        switch (query.viewer, query.visibility) {
        case (.administrator, .usual), (.administrator, .all): return nil
        case (.administrator, .only(let visibility)): return "i.visibility = \(visibility.rawValue)"
        case (.project(let project), .usual): return "(i.visibility = 'public' or i.owner = \(project?.text)::text)"
        case (.project(let project), .all):
            return "(i.visibility in ('public', 'community') or i.owner = \(project?.text)::text)"
        case (.project(let project), .only(let visibility)):
            switch visibility {
            case .public, .community: return "i.visibility = \(visibility.rawValue)"
            case .private, .shared:
                return "(i.visibility = \(visibility.rawValue) and i.owner = \(project?.text)::text)"
            }
        }
    }

    private static func condition(_ filter: ImageQuery.TimeFilter) -> Statement {
        let column = filter.field == .createdAt ? "created_at" : "updated_at"
        let sign =
            switch filter.comparison {
            case .eq: "="
            case .neq: "<>"
            case .gt: ">"
            case .gte: ">="
            case .lt: "<"
            case .lte: "<="
            }
        // The API shows whole seconds, so it compares them.
        return "date_trunc('second', i.\(raw: column)) \(raw: sign) \(filter.time)"
    }

    /// The rows behind the marker: equal in the first keys and beyond in the next. The marker's own keys are read by the
    /// same statement, so no value makes a round trip through this process.
    private static func after(_ marker: ImageID, _ sort: [ImageQuery.Sort]) -> Statement {
        let alternatives = sort.indices.map { index -> Statement in
            var parts = sort[..<index].map { "\(expression($0.key, of: "i")) = \(expression($0.key, of: "m"))" }
            let key = sort[index].key
            parts.append(
                "\(expression(key, of: "i")) \(sort[index].isAscending ? ">" : "<") \(expression(key, of: "m"))")
            return Statement(raw: "(\(parts.joined(separator: " and ")))")
        }
        return """
            exists (select 1 from image.images m where m.id = \(marker)
                and (\(fragment: .joined(alternatives, separator: " or "))))
            """
    }

    /// NULL stands before every value, so that the order is total.
    private static func expression(_ key: ImageQuery.SortKey, of alias: String) -> String {
        switch key {
        case .name: "coalesce(\(alias).name, '')"
        case .status: "\(alias).status"
        case .size: "coalesce(\(alias).size_bytes, -1)"
        case .id: "\(alias).id"
        case .diskFormat: "coalesce(\(alias).disk_format, '')"
        case .containerFormat: "coalesce(\(alias).container_format, '')"
        case .createdAt: "\(alias).created_at"
        case .updatedAt: "\(alias).updated_at"
        }
    }

    static func image(_ row: Row) throws(PostgresError) -> Image {
        let owner: String? = try row.get("owner")
        return Image(
            id: try row.get("id"), name: try row.get("name"),
            status: try value(row, "status") { ImageStatus(rawValue: $0) },
            visibility: try value(row, "visibility") { ImageVisibility(rawValue: $0) },
            owner: owner.map { ProjectID($0) }, diskFormat: try row.get("disk_format"),
            containerFormat: try row.get("container_format"), minimumDiskGiB: try row.get("min_disk"),
            minimumMemoryMiB: try row.get("min_ram"), isProtected: try row.get("protected"),
            isHidden: try row.get("hidden"), tags: try row.get("tags"), properties: try row.json("properties"),
            createdAt: try row.get("created_at"), updatedAt: try row.get("updated_at"),
            content: try row.isNull("content") ? nil : try row.json("content"), version: try row.get("version"))
    }

    private static func value<Value>(
        _ row: Row, _ column: String, _ make: (String) -> Value?
    ) throws(PostgresError) -> Value {
        let text: String = try row.get(column)
        guard let value = make(text) else { throw .decoding(column: column, reason: "\(text) is not known") }
        return value
    }
}
