package import CloudModel
import FoundationEssentials
import Primitives
import Synchronization

extension InMemoryCloud {
    package func find(_ id: ServerID) async throws -> DirectoryRow? {
        state.withLock { state in
            state.servers[id].flatMap { $0.instance.state.vm == .deleted ? nil : Self.row($0) }
        }
    }

    package func usage(of project: ProjectID) async throws -> ComputeUsage {
        state.withLock { state in
            let own = state.servers.values.map(\.instance).filter {
                $0.projectID == project && $0.state.vm != .deleted
            }
            return ComputeUsage(
                instances: own.count, cores: own.reduce(0) { $0 + $1.flavor.vcpus },
                memoryMiB: own.reduce(0) { $0 + $1.flavor.memoryMiB })
        }
    }

    package func page(_ query: DirectoryQuery) async throws -> [DirectoryRow] {
        let all = state.withLock { $0.servers.values.map(Self.row) }
        var rows = try all.filter { try Self.matches($0.summary, query) }
        rows.sort { Self.precedes($0.summary, $1.summary, query.sort) }
        if let marker = query.marker {
            guard let known = all.first(where: { $0.summary.id == marker }),
                query.projectID == nil || known.summary.projectID == query.projectID
            else { throw DirectoryError.markerNotFound(marker) }
            rows = rows.filter { Self.precedes(known.summary, $0.summary, query.sort) }
        }
        return Array(rows.prefix(query.limit))
    }

    private static func row(_ server: Server) -> DirectoryRow {
        DirectoryRow(
            summary: InstanceSummary(server.instance), cell: server.cell,
            unplaced: server.cell == nil ? server.instance : nil)
    }

    private static func matches(_ row: InstanceSummary, _ query: DirectoryQuery) throws -> Bool {
        if let project = query.projectID, row.projectID != project { return false }
        switch query.deleted {
        case .exclude where row.state.vm == .deleted: return false
        case .only where row.state.vm != .deleted: return false
        case .exclude, .only, .include: break
        }
        return try query.filters.allSatisfy { try matches(row, $0) }
    }

    private static func matches(_ row: InstanceSummary, _ filter: DirectoryFilter) throws -> Bool {
        switch filter {
        case .nameMatches(let pattern): try found(pattern, in: row.name)
        case .hostnameMatches(let pattern): try found(pattern, in: row.hostname)
        case .descriptionMatches(let pattern): try found(pattern, in: row.description ?? "")
        case .addressMatches(let pattern): try row.addresses.contains { try found(pattern, in: $0) }
        case .ids(let ids): ids.contains(row.id)
        case .statuses(let statuses): statuses.contains(row.status)
        case .vmStates(let states): states.contains(row.state.vm)
        case .taskStates(let states): states.contains(row.state.task)
        case .powerStates(let states): states.contains(row.state.power)
        case .host(let host): row.host == host
        case .flavorIDs(let ids): ids.contains(row.flavorID)
        case .imageID(let id): row.imageID == id
        case .availabilityZone(let zone): row.availabilityZone == zone
        case .keyName(let name): row.keyName == name
        case .userID(let id): row.userID == id
        case .reservationID(let id): row.reservationID == id
        case .isLocked(let flag): row.isLocked == flag
        case .hasAllTags(let tags): tags.allSatisfy(row.tags.contains)
        case .hasAnyTag(let tags): tags.contains(where: row.tags.contains)
        case .lacksSomeTag(let tags): !tags.allSatisfy(row.tags.contains)
        case .lacksAllTags(let tags): !tags.contains(where: row.tags.contains)
        case .changedSince(let date): row.updatedAt >= date
        case .changedBefore(let date): row.updatedAt <= date
        }
    }

    private static func found(_ pattern: String, in text: String) throws -> Bool {
        guard let regex = try? Regex(pattern) else { throw DirectoryError.invalidPattern(pattern) }
        return text.contains(regex)
    }

    private static func precedes(_ left: InstanceSummary, _ right: InstanceSummary, _ sort: [DirectorySort]) -> Bool {
        for order in sort {
            let (first, second) = (text(left, order.key), text(right, order.key))
            if first != second { return order.isAscending ? first < second : first > second }
        }
        if left.createdAt != right.createdAt { return left.createdAt > right.createdAt }
        return left.id > right.id
    }

    private static func text(_ row: InstanceSummary, _ key: DirectorySort.Key) -> String {
        func time(_ date: Date?) -> String { date.map { String(Int($0.timeIntervalSince1970)) } ?? "" }
        return switch key {
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
        case .imageID: row.imageID?.description ?? ""
        case .projectID: row.projectID.text
        case .userID: row.userID.text
        case .availabilityZone: row.availabilityZone ?? ""
        case .keyName: row.keyName ?? ""
        case .isLocked: row.isLocked ? "1" : "0"
        }
    }
}
