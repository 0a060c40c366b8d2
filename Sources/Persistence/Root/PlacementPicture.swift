import CloudModel
import PlacementCore
import PostgresClient
import Synchronization

/// All hosts as a scheduler last read them, so that the next placement reads only what changed since.
///
/// It says what is true at the moment of the reading transaction's look, as reading everything would: see
/// ``RootSchema/placementChanges``.
final class PlacementPicture: Sendable {
    private struct State {
        /// Transactions from this number on may have ended after the last look.
        var horizon: Int64 = 0
        var hosts: [PlacementSnapshot.Host] = []
        /// By place in `hosts`: whether the host itself takes servers, its cell apart.
        var isOpen: [Bool] = []
        var places: [HostName: Int] = [:]
        /// Metadata of aggregates, by number.
        var aggregates: [Int64: [String: String]] = [:]
        /// The cells below, and whether they take servers.
        var cells: [CellPath: Bool] = [:]
    }

    private let state = Mutex(State())

    /// Reads what changed.
    func read(in transaction: PostgresTransaction) async throws -> PlacementSnapshot {
        let horizon = state.withLock { $0.horizon }
        // The number comes from a look that is not younger than the rows'.
        let answers = try await transaction.pipeline([
            "select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as horizon",
            "select path, is_enabled and health <> 'down' as is_open from directory.cells",
            """
            select h.name, h.cell, coalesce(h.aggregate_zone, h.availability_zone) as zone, h.aggregates,
                h.is_enabled and h.placement = 'enabled' and h.is_up as is_open,
                i.class, i.total, i.reserved, i.allocation_ratio, i.used
            from placement.providers p join directory.hosts h on h.id = p.id
            join placement.inventories i on i.provider_id = p.id
            where p.changed_in >= \(horizon)
            """,
            "select number, metadata from directory.aggregates where changed_in >= \(horizon)",
        ])
        let next: Int64? = try answers[0].scalar()
        var cells: [CellPath: Bool] = [:]
        for row in answers[1] { cells[try PostgresRootStore.cell(row.get("path"))] = try row.get("is_open") }
        let changed = try Self.hosts(answers[2])
        var aggregates: [Int64: [String: String]] = [:]
        for row in answers[3] { aggregates[try row.get("number")] = try row.json("metadata") }
        return state.withLock { state in
            Self.take(changed, cells, into: &state)
            // Of one that was deleted no host says that it is in it.
            state.aggregates.merge(aggregates) { _, new in new }
            // A look that another one has overtaken says nothing of what came between them.
            state.horizon = min(next ?? 0, state.horizon == horizon ? next ?? 0 : state.horizon)
            return PlacementSnapshot(hosts: state.hosts, aggregates: state.aggregates)
        }
    }

    /// Those of the last look.
    func hosts(named names: Set<HostName>) -> [HostName: PlacementSnapshot.Host] {
        state.withLock { state in
            var found: [HostName: PlacementSnapshot.Host] = [:]
            for name in names { found[name] = state.places[name].map { state.hosts[$0] } }
            return found
        }
    }

    /// Hosts with whether they are open themselves.
    private static func hosts(_ rows: Rows) throws -> [HostName: PlacementSnapshot.Host] {
        var hosts: [HostName: PlacementSnapshot.Host] = [:]
        for row in rows {
            let name = HostName(try row.get("name"))
            let resource = PlacementSnapshot.Resource(
                total: try row.get("total"), reserved: try row.get("reserved"),
                allocationRatio: try row.get("allocation_ratio"), used: try row.get("used"))
            let kind: String = try row.get("class")
            if hosts[name] == nil {
                hosts[name] = PlacementSnapshot.Host(
                    name: name, cell: try PostgresRootStore.cell(row.get("cell")),
                    availabilityZone: try row.get("zone"), aggregates: try row.get("aggregates"),
                    isEligible: try row.get("is_open"), resources: [kind: resource])
            } else {
                hosts[name]?.resources[kind] = resource
            }
        }
        return hosts
    }

    private static func take(
        _ changed: [HostName: PlacementSnapshot.Host], _ cells: [CellPath: Bool], into state: inout State
    ) {
        for (name, host) in changed {
            var host = host
            let isOpen = host.isEligible
            host.isEligible = isOpen && Self.isOpen(host.cell, cells) == true
            if let place = state.places[name] {
                state.hosts[place] = host
                state.isOpen[place] = isOpen
            } else {
                state.places[name] = state.hosts.count
                state.hosts.append(host)
                state.isOpen.append(isOpen)
            }
        }
        guard state.cells != cells else { return }
        if state.cells.keys.contains(where: { cells[$0] == nil }) { forget(hostsOutside: cells, in: &state) }
        state.cells = cells
        for place in state.hosts.indices {
            state.hosts[place].isEligible = state.isOpen[place] && isOpen(state.hosts[place].cell, cells) == true
        }
    }

    /// A cell went, and its hosts with it.
    private static func forget(hostsOutside cells: [CellPath: Bool], in state: inout State) {
        let kept = state.hosts.indices.filter { isOpen(state.hosts[$0].cell, cells) != nil }
        state.hosts = kept.map { state.hosts[$0] }
        state.isOpen = kept.map { state.isOpen[$0] }
        state.places = Dictionary(uniqueKeysWithValues: state.hosts.enumerated().map { ($1.name, $0) })
    }

    /// A host's cell is a child, or lies below one; it is open when every cell on the way is. Nil: neither.
    private static func isOpen(_ cell: CellPath, _ cells: [CellPath: Bool]) -> Bool? {
        var path: CellPath? = cell
        var result: Bool?
        while let candidate = path {
            if let isOpen = cells[candidate] { result = isOpen && (result ?? true) }
            path = candidate.parent
        }
        return result
    }
}
