/// Which statements a connection holds prepared, the least recently used first to go.
struct StatementCache {
    /// Statements that differ in the types of their values, or in what their schemas are called, are prepared apart.
    struct Key: Hashable, Sendable {
        let sql: String
        let types: [UInt32]
        /// Of its schemas' names in the database.
        var prefix: String?

        init(sql: String, types: [UInt32], prefix: String? = nil) {
            self.sql = sql
            self.types = types
            self.prefix = prefix
        }

        init(_ statement: Statement) {
            self.init(sql: statement.sql, types: statement.binds.map(\.type.rawValue), prefix: statement.names?.prefix)
        }
    }

    private struct Entry {
        let name: String
        var lastUse: UInt64
    }

    let limit: Int
    private var entries: [Key: Entry] = [:]
    private var clock: UInt64 = 0
    private var nextName: UInt64 = 0
    /// Names the server still holds but that nobody will use; to be deallocated with the next statements.
    private(set) var doomed: [String] = []

    init(limit: Int) { self.limit = limit }

    var count: Int { entries.count }

    mutating func name(for key: Key) -> String? {
        clock += 1
        guard let index = entries.index(forKey: key) else { return nil }
        entries.values[index].lastUse = clock
        return entries.values[index].name
    }

    /// A name for a new statement. What has to leave for it is added to `doomed`.
    mutating func insert(_ key: Key) -> String {
        if entries.count >= limit, let oldest = entries.min(by: { $0.value.lastUse < $1.value.lastUse }) {
            entries[oldest.key] = nil
            doomed.append(oldest.value.name)
        }
        clock += 1
        nextName += 1
        let name = "s\(nextName)"
        entries[key] = Entry(name: name, lastUse: clock)
        return name
    }

    /// The server refused to prepare it, or never came to it.
    mutating func forget(_ key: Key, name: String) {
        guard entries[key]?.name == name else { return }
        entries[key] = nil
    }

    /// The server keeps the statement but its plan is of no use any more.
    mutating func doomAll() {
        doomed += entries.values.map(\.name)
        entries = [:]
    }

    mutating func takeDoomed() -> [String] {
        defer { doomed = [] }
        return doomed
    }

    mutating func doom(_ name: String) { doomed.append(name) }
}
