package import Primitives

/// What of a server's `os:scheduler_hints` counts here. Other hints are kept and shown, and mean nothing.
package struct SchedulerHints: Sendable, Equatable {
    package private(set) var group: ServerGroupID?
    /// The host must have one of these servers of the project; empty for any host.
    package private(set) var sameHost: Set<ServerID> = []
    /// The host must have none of these servers of the project.
    package private(set) var differentHost: Set<ServerID> = []
    /// Hints that count and can't be read.
    package private(set) var malformed: [String] = []

    /// - Parameter hints: as the user sent them.
    package init(_ hints: JSONValue?) {
        let groups: Set<ServerGroupID> = ids("group", hints)
        if groups.count > 1 { malformed.append("group") } else { group = groups.first }
        sameHost = ids("same_host", hints)
        differentHost = ids("different_host", hints)
    }

    /// One id, or a list of them.
    private mutating func ids<Subject>(_ name: String, _ hints: JSONValue?) -> Set<Identifier<Subject>> {
        guard let value = hints?[name], value != .null else { return [] }
        let ids = (value.array ?? [value]).map { $0.string.flatMap { Identifier<Subject>($0) } }
        if ids.contains(nil) { malformed.append(name) }
        return Set(ids.compactMap { $0 })
    }
}
