package import CloudModel
import FoundationEssentials
import Primitives
import Synchronization

extension InMemoryCloud {
    package func find(_ id: ServerID) async throws -> DirectoryRow? {
        state.withLock { state in
            state.finds += 1
            guard let server = state.servers[id], server.instance.state.vm != .deleted else { return nil }
            var row = Self.row(server)
            row.group = state.members[id]
            return row
        }
    }

    package func usage(of project: ProjectID, user: UserID?) async throws -> ComputeUsage {
        state.withLock { state in
            let own = state.servers.values.map(\.instance).filter {
                $0.projectID == project && (user == nil || $0.userID == user) && $0.state.vm != .deleted
            }
            return ComputeUsage(
                instances: own.count, cores: own.reduce(0) { $0 + $1.flavor.vcpus },
                memoryMiB: own.reduce(0) { $0 + $1.flavor.memoryMiB })
        }
    }

    package func list(_ query: DirectoryQuery) async throws -> DirectoryPage {
        let (all, hosts) = state.withLock { ($0.servers.values.map(Self.row), $0.hosts.map(\.record)) }
        var rows = try all.filter { try Self.matches($0.summary, query, hosts) }
        rows.sort { Self.precedes($0.summary, $1.summary, query.sort) }
        if let marker = query.marker {
            guard let known = all.first(where: { $0.summary.id == marker }),
                query.projectID == nil || known.summary.projectID == query.projectID
            else { throw DirectoryError.markerNotFound(marker) }
            rows = rows.filter { Self.precedes(known.summary, $0.summary, query.sort) }
        }
        return DirectoryPage(rows: Array(rows.prefix(query.limit)), gaps: state.withLock { $0.gaps })
    }

    private static func row(_ server: Server) -> DirectoryRow {
        DirectoryRow(
            summary: InstanceSummary(server.instance), cell: server.cell,
            unplaced: server.cell == nil ? server.instance : nil)
    }

    private static func matches(_ row: InstanceSummary, _ query: DirectoryQuery, _ hosts: [HostRecord]) throws -> Bool {
        if let project = query.projectID, row.projectID != project { return false }
        switch query.deleted {
        case .exclude where row.state.vm == .deleted: return false
        case .only where row.state.vm != .deleted: return false
        case .exclude, .only, .include: break
        }
        return try query.filters.allSatisfy { try matches(row, $0, hosts) }
    }

    private static func matches(
        _ row: InstanceSummary, _ filter: DirectoryFilter, _ hosts: [HostRecord]
    ) throws -> Bool {
        switch filter {
        case .nameMatches(let pattern): try found(pattern, in: row.name)
        case .hostnameMatches(let pattern): try found(pattern, in: row.hostname)
        case .descriptionMatches(let pattern): try found(pattern, in: row.description ?? "")
        case .addressMatches(let pattern):
            try row.addresses.contains { try !$0.contains(":") && found(pattern, in: $0) }
        case .address6Matches(let pattern):
            try row.addresses.contains { try $0.contains(":") && found(pattern, in: $0) }
        case .nodeMatches(let pattern):
            try hosts.contains {
                try $0.name == row.host && found(pattern, in: $0.inventory.hypervisorHostname)
            }
        case .zoneMatches(let pattern): try row.availabilityZone.map { try found(pattern, in: $0) } ?? false
        case .keyNameMatches(let pattern): try row.keyName.map { try found(pattern, in: $0) } ?? false
        case .reservationMatches(let pattern): try found(pattern, in: row.reservationID)
        case .timeMatches(let time, let pattern): try date(time, of: row).map { try found(pattern, in: $0) } ?? false
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

    private static func date(_ time: DirectoryTime, of row: InstanceSummary) -> String? {
        let date: Date? =
            switch time {
            case .created: row.createdAt
            case .launched: row.launchedAt
            case .terminated: row.terminatedAt
            }
        return date.map { String(Timestamp.seconds($0).dropLast()).replacing("T", with: " ") }
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
