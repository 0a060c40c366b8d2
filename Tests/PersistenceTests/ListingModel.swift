import CloudModel
import FoundationEssentials
import Primitives

/// A text condition in two languages: PostgreSQL's and Swift's.
struct ModelPattern: Sendable {
    let text: String
    let matches: @Sendable (String) -> Bool

    static let all = [
        ModelPattern(text: "a") { $0.contains("a") },
        ModelPattern(text: "^b") { $0.hasPrefix("b") },
        ModelPattern(text: "2$") { $0.hasSuffix("2") },
        ModelPattern(text: "^c.*1$") { $0.hasPrefix("c") && $0.hasSuffix("1") },
        ModelPattern(text: "[ab]") { $0.contains("a") || $0.contains("b") },
        ModelPattern(text: "") { _ in true },
    ]
}

/// A filter and what it means.
struct ModelFilter: Sendable {
    let filter: DirectoryFilter
    let matches: @Sendable (ListingModel.Row) -> Bool
}

/// The truth about the servers of a cloud: what a list must say.
struct ListingModel: Sendable {
    struct Row: Sendable, Equatable {
        var summary: InstanceSummary
        var cell: CellPath
        /// A cell has told of it.
        var isPlaced = false
        var isDeleted: Bool { summary.state.vm == .deleted }
    }

    var rows: [ServerID: Row] = [:]

    var live: [Row] { rows.values.filter { !$0.isDeleted }.sorted { $0.summary.id < $1.summary.id } }

    /// What a page must have, in order.
    func page(_ query: DirectoryQuery, _ filters: [ModelFilter]) -> [ServerID] {
        let matching = rows.values.filter { row in
            switch query.deleted {
            case .exclude where row.isDeleted: return false
            case .only where !row.isDeleted: return false
            case .exclude, .only, .include: break
            }
            if let project = query.projectID, row.summary.projectID != project { return false }
            return filters.allSatisfy { $0.matches(row) }
        }
        var sorted = matching.map { (id: $0.summary.id, key: Self.key($0.summary, query.sort)) }
            .sorted { Self.precedes($0.key, $1.key, query.sort) }
        if let marker = query.marker.flatMap({ rows[$0] }) {
            let key = Self.key(marker.summary, query.sort)
            sorted = sorted.filter { Self.precedes(key, $0.key, query.sort) }
        }
        return sorted.prefix(query.limit).map(\.id)
    }

    private static func precedes(_ left: [String], _ right: [String], _ sort: [DirectorySort]) -> Bool {
        for (index, pair) in zip(left, right).enumerated() where pair.0 != pair.1 {
            let isAscending = index < sort.count ? sort[index].isAscending : false
            return isAscending ? pair.0 < pair.1 : pair.0 > pair.1
        }
        return false
    }

    private static func key(_ row: InstanceSummary, _ sort: [DirectorySort]) -> [String] {
        sort.map { text(row, $0.key) } + [time(row.createdAt), row.id.description]
    }

    private static func time(_ date: Date?) -> String {
        guard let date else { return "" }
        let digits = String(Int(date.timeIntervalSince1970))
        return String(repeating: "0", count: 12 - digits.count) + digits
    }

    private static func text(_ row: InstanceSummary, _ key: DirectorySort.Key) -> String {
        switch key {
        case .createdAt: time(row.createdAt)
        case .updatedAt: time(row.updatedAt)
        case .launchedAt: time(row.launchedAt)
        case .terminatedAt: time(row.terminatedAt)
        case .name: row.name
        case .description: row.description ?? ""
        case .id: row.id.description
        case .vmState: row.state.vm.rawValue
        case .taskState: row.state.task?.rawValue ?? ""
        case .powerState: String(row.state.power.rawValue)
        case .host: row.host?.text ?? ""
        case .hostname: row.hostname
        case .flavorID: row.flavorID
        case .imageID: row.imageID?.description ?? "00000000-0000-0000-0000-000000000000"
        case .projectID: row.projectID.text
        case .userID: row.userID.text
        case .availabilityZone: row.availabilityZone ?? ""
        case .keyName: row.keyName ?? ""
        case .isLocked: row.isLocked ? "1" : "0"
        }
    }
}

/// Draws servers, changes and questions from small sets, so that they often meet.
struct ListingDice {
    var random: SeededGenerator

    static let projects: [ProjectID] = ["p1", "p2", "p3"]
    static let users: [UserID] = ["u1", "u2"]
    static let flavors = ["1", "2"]
    static let images: [ImageID?] = [nil] + (0..<2).map { _ in ImageID(UUID()) }
    static let tags = ["red", "green", "blue"]
    static let cells = [RootFixture.north, RootFixture.south]
    static let epoch = RootFixture.now

    mutating func pick<Value>(_ values: [Value]) -> Value { values[Int.random(in: values.indices, using: &random)] }
    mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }
    mutating func number(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }
    mutating func word() -> String { pick(["a", "b", "c"]) + pick(["x", "y"]) + pick(["1", "2"]) }
    mutating func date() -> Date { Self.epoch + TimeInterval(number(0...40)) }

    mutating func server() -> Instance {
        var instance = Instance(
            id: ServerID(UUID()), projectID: pick(Self.projects), userID: pick(Self.users), name: word(),
            hostname: word(), flavor: Flavor(id: pick(Self.flavors), name: "f", vcpus: 1, memoryMiB: 1, diskGiB: 1),
            image: pick(Self.images).map {
                ImageReference(id: $0, name: "i", sizeBytes: 1, sha512: "0", diskFormat: "raw")
            },
            reservationID: "r-" + word(), createdAt: date())
        instance.description = chance(50) ? word() : nil
        instance.keyName = chance(50) ? word() : nil
        instance.tags = Self.tags.filter { _ in chance(40) }
        instance.updatedAt = instance.createdAt
        return instance
    }

    /// Something that a cell tells of a server.
    mutating func change(_ row: inout ListingModel.Row) {
        row.isPlaced = true
        row.summary.version += Int64(number(1...3))
        row.summary.updatedAt = date()
        row.summary.name = chance(20) ? word() : row.summary.name
        row.summary.host = HostName("\(row.cell.name)-\(number(1...2))")
        row.summary.availabilityZone = row.cell.name
        row.summary.launchedAt = row.summary.launchedAt ?? date()
        row.summary.isLocked = chance(20)
        row.summary.addresses = ["10.0.0.\(number(1...3))"]
        row.summary.state = ServerState(
            vm: pick([.active, .stopped, .error]), task: chance(20) ? .poweringOff : nil,
            power: pick([.running, .shutdown, .noState]))
        row.summary.status = row.summary.state.status
    }

    mutating func sort() -> [DirectorySort] {
        (0..<number(0...3)).map { _ in DirectorySort(pick(DirectorySort.Key.allCases), isAscending: chance(50)) }
            .reduce(into: []) { kept, next in if !kept.contains(where: { $0.key == next.key }) { kept.append(next) } }
    }

    mutating func filters() -> [ModelFilter] { (0..<pick([0, 0, 1, 1, 2, 3])).map { _ in filter() } }

    // One line a kind of filter.
    private mutating func filter() -> ModelFilter {
        let pattern = pick(ModelPattern.all)
        let date = date()
        let some = Self.tags.filter { _ in chance(50) }
        let tags = some.isEmpty ? ["red"] : some
        switch number(0...20) {
        case 0: return .init(filter: .nameMatches(pattern.text)) { pattern.matches($0.summary.name) }
        case 1: return .init(filter: .hostnameMatches(pattern.text)) { pattern.matches($0.summary.hostname) }
        case 2:
            return .init(filter: .descriptionMatches(pattern.text)) { pattern.matches($0.summary.description ?? "") }
        case 3: return .init(filter: .addressMatches("1$")) { $0.summary.addresses.contains { $0.hasSuffix("1") } }
        case 4: return .init(filter: .address6Matches("1")) { _ in false }
        case 5:
            return .init(filter: .keyNameMatches(pattern.text)) { $0.summary.keyName.map(pattern.matches) ?? false }
        case 6: return .init(filter: .reservationMatches("1$")) { $0.summary.reservationID.hasSuffix("1") }
        case 7:
            return .init(filter: .zoneMatches("north")) { $0.summary.availabilityZone == "north" }
        case 8: return .init(filter: .nodeMatches("h-1$")) { $0.summary.host?.text.hasSuffix("h-1") ?? false }
        case 9:
            return .init(filter: .statuses(["ACTIVE", "ERROR"])) { ["ACTIVE", "ERROR"].contains($0.summary.status) }
        case 10:
            return .init(filter: .vmStates([.stopped, .building])) {
                [.stopped, .building].contains($0.summary.state.vm)
            }
        case 11: return .init(filter: .taskStates([nil])) { $0.summary.state.task == nil }
        case 12: return .init(filter: .powerStates([.running])) { $0.summary.state.power == .running }
        case 13: return .init(filter: .host("north-1")) { $0.summary.host == "north-1" }
        case 14: return .init(filter: .flavorIDs(["1"])) { $0.summary.flavorID == "1" }
        case 15: return .init(filter: .userID("u1")) { $0.summary.userID == "u1" }
        case 16: return .init(filter: .isLocked(true)) { $0.summary.isLocked }
        case 17: return .init(filter: .hasAllTags(tags)) { row in tags.allSatisfy(row.summary.tags.contains) }
        case 18: return .init(filter: .lacksAllTags(tags)) { row in !tags.contains(where: row.summary.tags.contains) }
        case 19: return .init(filter: .changedSince(date)) { $0.summary.updatedAt >= date }
        default: return .init(filter: .changedBefore(date)) { $0.summary.updatedAt <= date }
        }
    }
}

/// Numbers that come again with the same seed (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
