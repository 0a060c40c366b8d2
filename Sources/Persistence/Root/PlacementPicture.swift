import CloudModel
import FoundationEssentials
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
        /// By place in `hosts`: of the host itself, its cell apart.
        var standings: [Standing] = []
        var places: [HostName: Int] = [:]
        /// Metadata of aggregates, by number.
        var aggregates: [Int64: [String: String]] = [:]
        /// The cells below.
        var cells: [CellPath: Standing] = [:]
    }

    /// Whether a host, or a cell, takes servers.
    private enum Standing: Equatable {
        case open
        /// It would, and went down then.
        case down(since: Date)
        /// It is not meant to.
        case closed

        init(isMeantTo: Bool, isUp: Bool, since: Date) {
            self = isMeantTo ? isUp ? .open : .down(since: since) : .closed
        }

        /// Of what is reached through this one.
        func limit(_ other: Standing) -> Standing {
            switch (self, other) {
            case (.closed, _), (_, .closed): .closed
            case (.down(let first), .down(let second)): .down(since: min(first, second))
            case (.down, .open): self
            case (.open, _): other
            }
        }
    }

    private let state = Mutex(State())

    /// Reads what changed.
    func read(in transaction: PostgresTransaction) async throws -> PlacementSnapshot {
        let horizon = state.withLock { $0.horizon }
        // The number comes from a look that is not younger than the rows'.
        let answers = try await transaction.pipeline([
            "select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as horizon",
            "select path, is_enabled, health <> 'down' as is_up, since from directory.cells",
            """
            select h.name, h.cell, coalesce(h.aggregate_zone, h.availability_zone) as zone, h.aggregates,
                h.is_enabled and h.placement = 'enabled' as is_wanted, h.is_up,
                (h.record ->> 'updatedAt')::double precision as changed_at,
                i.class, i.total, i.reserved, i.allocation_ratio, i.used
            from placement.providers p join directory.hosts h on h.id = p.id
            join placement.inventories i on i.provider_id = p.id
            where p.changed_in >= \(horizon)
            """,
            "select number, metadata from directory.aggregates where changed_in >= \(horizon)",
        ])
        let next: Int64? = try answers[0].scalar()
        var cells: [CellPath: Standing] = [:]
        for row in answers[1] {
            cells[try PostgresRootStore.cell(row.get("path"))] = Standing(
                isMeantTo: try row.get("is_enabled"), isUp: try row.get("is_up"), since: try row.get("since"))
        }
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

    /// Each with its standing, its cell apart.
    private static func hosts(_ rows: Rows) throws -> [HostName: (host: PlacementSnapshot.Host, standing: Standing)] {
        var hosts: [HostName: (host: PlacementSnapshot.Host, standing: Standing)] = [:]
        for row in rows {
            let name = HostName(try row.get("name"))
            let resource = PlacementSnapshot.Resource(
                total: try row.get("total"), reserved: try row.get("reserved"),
                allocationRatio: try row.get("allocation_ratio"), used: try row.get("used"))
            let kind: String = try row.get("class")
            guard hosts[name] == nil else {
                hosts[name]?.host.resources[kind] = resource
                continue
            }
            // Its record has times as JSON has them.
            let changedAt: Double? = try row.get("changed_at")
            hosts[name] = (
                PlacementSnapshot.Host(
                    name: name, cell: try PostgresRootStore.cell(row.get("cell")),
                    availabilityZone: try row.get("zone"), aggregates: try row.get("aggregates"), isEligible: false,
                    resources: [kind: resource]),
                Standing(
                    isMeantTo: try row.get("is_wanted"), isUp: try row.get("is_up"),
                    since: Date(timeIntervalSinceReferenceDate: changedAt ?? 0))
            )
        }
        return hosts
    }

    private static func take(
        _ changed: [HostName: (host: PlacementSnapshot.Host, standing: Standing)], _ cells: [CellPath: Standing],
        into state: inout State
    ) {
        for (name, change) in changed {
            var host = change.host
            judge(&host, change.standing, cells)
            if let place = state.places[name] {
                state.hosts[place] = host
                state.standings[place] = change.standing
            } else {
                state.places[name] = state.hosts.count
                state.hosts.append(host)
                state.standings.append(change.standing)
            }
        }
        guard state.cells != cells else { return }
        if state.cells.keys.contains(where: { cells[$0] == nil }) { forget(hostsOutside: cells, in: &state) }
        state.cells = cells
        for place in state.hosts.indices { judge(&state.hosts[place], state.standings[place], cells) }
    }

    private static func judge(
        _ host: inout PlacementSnapshot.Host, _ own: Standing, _ cells: [CellPath: Standing]
    ) {
        let standing = Self.standing(of: host.cell, cells).map { own.limit($0) } ?? .closed
        host.isEligible = standing == .open
        host.downSince = if case .down(let since) = standing { since } else { nil }
    }

    /// A cell went, and its hosts with it.
    private static func forget(hostsOutside cells: [CellPath: Standing], in state: inout State) {
        let kept = state.hosts.indices.filter { standing(of: state.hosts[$0].cell, cells) != nil }
        state.hosts = kept.map { state.hosts[$0] }
        state.standings = kept.map { state.standings[$0] }
        state.places = Dictionary(uniqueKeysWithValues: state.hosts.enumerated().map { ($1.name, $0) })
    }

    /// A host's cell is a child, or lies below one; it is as open as every cell on the way is. Nil: neither.
    private static func standing(of cell: CellPath, _ cells: [CellPath: Standing]) -> Standing? {
        var path: CellPath? = cell
        var result: Standing?
        while let candidate = path {
            if let standing = cells[candidate] { result = standing.limit(result ?? .open) }
            path = candidate.parent
        }
        return result
    }
}
