import CloudModel
import HTTPKit

/// What a list of flavors asks for. There are few flavors, so all of it happens in memory.
struct FlavorQuery {
    private static let parameters = ["limit", "marker", "is_public", "sort_key", "sort_dir", "minRam", "minDisk"]

    private let page: PageRequest
    private let minimumMemory: Int
    private let minimumDisk: Int
    private let sortKey: SortKey
    private let isAscending: Bool
    /// Nil for both kinds.
    private let isPublic: Bool?
    private let name: String?
    private let project: ProjectID
    private let isAdmin: Bool

    /// Nova's names for what flavors can be sorted by. What all our flavors have in common sorts nothing.
    enum SortKey: String {
        case created = "created_at"
        case updated = "updated_at"
        case description, disabled, id, name, swap, vcpus
        case ephemeral = "ephemeral_gb"
        case flavorID = "flavorid"
        case isPublic = "is_public"
        case memory = "memory_mb"
        case disk = "root_gb"
        case factor = "rxtx_factor"
        case weight = "vcpu_weight"
    }

    init(_ request: ComputeRequest) throws(APIFault) {
        let query = request.query
        try request.checkQuery(Self.parameters + (request.version >= 102 ? ["name"] : []), strictFrom: 75)
        page = try request.page()
        minimumMemory = try Self.minimum("minRam", query)
        minimumDisk = try Self.minimum("minDisk", query)
        guard let key = SortKey(rawValue: query["sort_key"] ?? "flavorid") else {
            throw .badRequest("Invalid sort key: \((query["sort_key"] ?? "").prefix(100))")
        }
        sortKey = key
        let direction = query["sort_dir"] ?? "asc"
        guard ["asc", "desc"].contains(direction) else {
            throw .badRequest("Invalid sort direction: \(direction.prefix(100))")
        }
        isAscending = direction == "asc"
        isAdmin = request.isAdmin
        project = request.project
        let wanted = try Self.publicity(query["is_public"])
        isPublic = request.isAdmin ? wanted : true
        name = request.version >= 102 ? query["name"] : nil
    }

    func page(of records: [FlavorRecord]) throws(APIFault) -> (flavors: [Flavor], hasMore: Bool) {
        let sorted = records.filter(matches).map(\.flavor).sorted { isAscending ? before($0, $1) : before($1, $0) }
        var rest = sorted[...]
        if let marker = page.marker {
            guard let index = sorted.firstIndex(where: { $0.id == marker }) else {
                throw .badRequest("marker [\(marker.prefix(255))] not found")
            }
            rest = sorted[(index + 1)...]
        }
        return (Array(rest.prefix(page.limit)), rest.count > page.limit)
    }

    private func matches(_ record: FlavorRecord) -> Bool {
        let flavor = record.flavor
        guard flavor.memoryMiB >= minimumMemory, flavor.diskGiB >= minimumDisk else { return false }
        if !isAdmin && flavor.isDisabled { return false }
        if let name, flavor.name != name { return false }
        switch isPublic {
        case nil: return true
        case true?: return record.isUsable(by: project)
        case false?: return !flavor.isPublic
        }
    }

    private func before(_ left: Flavor, _ right: Flavor) -> Bool {
        func order<Value: Comparable>(_ value: (Flavor) -> Value) -> Bool {
            let (first, second) = (value(left), value(right))
            return first == second ? left.id < right.id : first < second
        }
        return switch sortKey {
        case .created, .updated, .weight, .flavorID, .id: left.id < right.id
        case .description: order { $0.description ?? "" }
        case .disabled: order { $0.isDisabled ? 1 : 0 }
        case .name: order(\.name)
        case .swap: order(\.swapMiB)
        case .vcpus: order(\.vcpus)
        case .ephemeral: order(\.ephemeralGiB)
        case .isPublic: order { $0.isPublic ? 1 : 0 }
        case .memory: order(\.memoryMiB)
        case .disk: order(\.diskGiB)
        case .factor: order(\.rxtxFactor)
        }
    }

    private static func minimum(_ name: String, _ query: QueryParameters) throws(APIFault) -> Int {
        guard let text = query[name] else { return 0 }
        guard let number = Int(text) else { throw .badRequest("Invalid \(name) filter [\(text.prefix(100))]") }
        return number
    }

    /// The literal `None` means both; without a word it is the public ones.
    private static func publicity(_ text: String?) throws(APIFault) -> Bool? {
        guard let text else { return true }
        if text.lowercased() == "none" { return nil }
        guard let flag = QueryParameters.bool(text) else {
            throw .badRequest("Invalid is_public filter [\(text.prefix(100))]")
        }
        return flag
    }
}
