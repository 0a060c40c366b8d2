package import CellProtocol
package import CloudModel
import FoundationEssentials
import Synchronization

extension InMemoryCloud: CellRegistry {
    package func cells(after marker: CellPath?, limit: Int) async throws -> [CellRecord] {
        let known = await cells().filter { status in marker.map { status.cell > $0 } ?? true }
        return state.withLock { state in
            known.filter { !state.retiredCells.contains($0.cell) }.prefix(limit).map { Self.record($0, state) }
        }
    }

    package func cell(_ path: CellPath) async throws -> CellRecord? {
        try await cells(after: nil, limit: Int.max).first { $0.path == path }
    }

    package func order(_ order: PlacementOrder, of cell: CellPath) async throws -> CellRecord? {
        guard try await self.cell(cell) != nil else { return nil }
        state.withLock { $0.orders[cell] = order }
        return try await self.cell(cell)
    }

    package func retire(_ path: CellPath) async throws -> CellRetirement {
        guard let cell = try await self.cell(path) else { return .notFound }
        guard cell.servers == 0 else { return .occupied(cell.servers) }
        state.withLock { _ = $0.retiredCells.insert(path) }
        return .removed
    }

    package func hosts(of cell: CellPath?, after marker: HostName?, limit: Int) async throws -> [HostUsage] {
        let all = try await hosts().sorted { $0.record.name < $1.record.name }
        return Array(
            all.filter { host in
                (cell.map { host.record.cell == $0 } ?? true) && (marker.map { host.record.name > $0 } ?? true)
            }.prefix(limit))
    }

    package func host(_ name: HostName) async throws -> HostUsage? {
        try await hosts().first { $0.record.name == name }
    }

    package func locate(_ id: ServerID) async throws -> ServerLocation? {
        state.withLock { state in
            guard let server = state.servers[id] else { return nil }
            let instance = server.instance
            return ServerLocation(
                id: id, name: instance.name, projectID: instance.projectID, status: instance.state.status,
                vmState: instance.state.vm.rawValue, taskState: instance.state.task?.rawValue, cell: server.cell,
                host: instance.host, createdAt: instance.createdAt, updatedAt: instance.updatedAt, deletedAt: nil,
                request: nil, placements: state.placements[id] ?? [])
        }
    }

    package func setPlacements(_ placements: [ServerLocation.Placement], of id: ServerID) {
        state.withLock { $0.placements[id] = placements }
    }

    private static func record(_ status: CellStatus, _ state: State) -> CellRecord {
        var record = CellRecord(
            path: status.cell, order: state.orders[status.cell] ?? PlacementOrder(.enabled, since: status.since),
            health: status.health, reason: status.reason, since: status.since, heartbeat: status.heartbeat,
            lastSequence: 7)
        let hosts = state.hosts.filter { $0.record.cell == status.cell }
        record.hosts = hosts.count
        record.hostsUp = hosts.filter(\.record.isUp).count
        record.hostsOpen = hosts.filter(\.record.isEnabled).count
        let servers = state.servers.values.filter { $0.cell == status.cell && $0.instance.state.vm != .deleted }
        record.servers = servers.count
        record.projects = Set(servers.map(\.instance.projectID)).count
        record.vcpus = .init(total: 4 * hosts.count, usable: 64 * hosts.count, used: hosts.count)
        return record
    }
}
