import CloudModel

/// What aggregates let in: hosts of an aggregate with `filter_tenant_id` in its metadata are kept for those projects, and
/// a flavor's extra specs can ask for aggregates.
struct AggregateFilter {
    /// What a request finds, the same for all requests that want the same: aggregates by number.
    struct Demand: Hashable {
        /// For each spec, those that meet it: the host must be in one of each.
        var meeting: [Set<Int64>] = []
        /// Those of the isolating ones that are open to the project.
        var open: Set<Int64> = []
    }

    /// The key, and keys that begin with it, hold project ids, separated by commas.
    private static let projectsKey = "filter_tenant_id"

    private let metadata: [Int64: [String: String]]
    /// Projects that isolating aggregates are kept for.
    private let projects: [Int64: Set<ProjectID>]

    init(_ metadata: [Int64: [String: String]]) {
        self.metadata = metadata
        projects = metadata.compactMapValues { values in
            let lists = values.filter { $0.key.hasPrefix(Self.projectsKey) }.values
            return lists.isEmpty ? nil : Set(lists.flatMap(Self.values).map { ProjectID($0) })
        }
    }

    func demand(of request: PlacementRequest) -> Demand {
        var demand = Demand()
        for (key, wanted) in request.aggregateSpecs.sorted(by: { $0.key < $1.key }) {
            let meeting = metadata.filter { _, values in
                Self.values(values[key] ?? "").contains { ExtraSpecMatch.matches($0, wanted) }
            }
            demand.meeting.append(Set(meeting.keys))
        }
        if let project = request.projectID {
            demand.open = Set(projects.filter { $0.value.contains(project) }.keys)
        }
        return demand
    }

    func accepts(_ host: PlacementSnapshot.Host, _ demand: Demand) -> Bool {
        guard !host.aggregates.isEmpty else { return demand.meeting.isEmpty }
        let isKept = host.aggregates.contains { projects[$0] != nil }
        guard !isKept || host.aggregates.contains(where: demand.open.contains) else { return false }
        return demand.meeting.allSatisfy { host.aggregates.contains(where: $0.contains) }
    }

    /// Of a metadata value, without blanks around each.
    private static func values(_ text: String) -> [String] {
        text.split(separator: ",").map { part in
            var value = part.drop(while: \.isWhitespace)
            while value.last?.isWhitespace == true { value.removeLast() }
            return String(value)
        }
    }
}
