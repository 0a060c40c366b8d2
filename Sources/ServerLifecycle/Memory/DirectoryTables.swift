import CellProtocol
import CloudModel
import FoundationEssentials
import Primitives

/// What the databases of the root and of a branch have in common, as values: cells, hosts and servers below.
package struct DirectoryTables: Sendable {
    struct Cell: Sendable {
        /// Nil for what lies below a child.
        var bus: CellMapping.Endpoint?
        var lastSequence: Int64 = 0
        var standing: CellStanding
        var isResyncWanted = false
    }

    struct Row: Sendable {
        var summary: InstanceSummary
        var cell: CellPath?
        var deletedAt: Date?

        /// Whether an audit counts it: built, and not deleted.
        var counts: Bool {
            deletedAt == nil && summary.state.vm != .building
                && (summary.state.vm != .error || summary.launchedAt != nil)
        }
    }

    var cells: [CellPath: Cell] = [:]
    var hosts: [HostName: HostRecord] = [:]
    var rows: [ServerID: Row] = [:]
    /// Cells of which rows are missing, by a number that grows.
    var gaps: [Int64: CellPath] = [:]
    private var lastGap: Int64 = 0
    private var watch: (owner: String, until: Date)?
    /// What this transaction tells those who listen.
    var nudges: [DirectoryChange] = []

    // MARK: Cells

    var mappings: [CellMapping] {
        cells.sorted { $0.key < $1.key }.compactMap { path, cell in
            guard let bus = cell.bus else { return nil }
            return CellMapping(
                path: path, bus: bus, lastSequence: cell.lastSequence, health: cell.standing.health,
                reason: cell.standing.reason, since: cell.standing.since, heartbeat: cell.standing.heartbeat,
                isResyncWanted: cell.isResyncWanted || gaps.values.contains { path.holds($0) })
        }
    }

    var statuses: [CellStatus] {
        cells.filter { $0.value.bus == nil }.map(\.value.standing).sorted { $0.path < $1.path }.map { standing in
            CellStatus(
                cell: standing.path, health: standing.health, reason: standing.reason, since: standing.since,
                heartbeat: standing.heartbeat, isLeaf: standing.heartbeat?.isLeaf ?? true)
        }
    }

    /// Whether it is a child or below one, and since when a cell on the way to it is down.
    func way(to cell: CellPath) -> (isKnown: Bool, downSince: Date?) {
        var path: CellPath? = cell
        var isKnown = false
        var since: Date?
        while let candidate = path {
            if let standing = cells[candidate]?.standing {
                isKnown = true
                if standing.health == .down { since = min(since ?? standing.since, standing.since) }
            }
            path = candidate.parent
        }
        return (isKnown, since)
    }

    mutating func removeCells(_ path: CellPath) -> Bool {
        let count = cells.count
        cells = cells.filter { !path.holds($0.key) }
        return cells.count < count
    }

    mutating func takeWatch(_ owner: String, until: Date, now: Date) -> Bool {
        if let watch, watch.owner != owner, watch.until >= now { return false }
        watch = (owner, until)
        return true
    }

    mutating func releaseWatch(_ owner: String) {
        if watch?.owner == owner { watch = nil }
    }

    func isWatched(by owner: String, now: Date) -> Bool { watch.map { $0.owner == owner && $0.until > now } ?? false }

    // MARK: Completeness

    mutating func noteGap(_ cell: CellPath) {
        lastGap += 1
        gaps[lastGap] = cell
        nudges.append(.cells)
    }

    func audit(of path: CellPath, sequence: Int64) -> DirectoryAudit {
        let counted = rows.values.filter { row in row.counts && row.cell.map { path.holds($0) } == true }
        let digest = counted.reduce(UInt64(0)) { sum, row in
            let head = UInt64(row.summary.id.hex.prefix(8), radix: 16) ?? 0
            return (sum + head * UInt64(row.summary.state.vm.rawValue.utf8.count)) % DirectoryAudit.modulus
        }
        return DirectoryAudit(sequence: sequence, servers: counted.count, digest: Int64(digest))
    }

    // MARK: Servers

    /// Takes a row as its cell tells it, unless something newer is known, or that the server is gone.
    /// - Returns: whether anything changed.
    mutating func upsert(_ summary: InstanceSummary, cell: CellPath?) -> Bool {
        guard let known = rows[summary.id] else {
            let isDeleted = summary.state.vm == .deleted
            rows[summary.id] = Row(
                summary: summary, cell: cell,
                deletedAt: isDeleted ? summary.terminatedAt ?? summary.updatedAt : nil)
            return true
        }
        // The end of a server releases what it holds: that is the event's to do.
        guard summary.state.vm != .deleted, known.summary.version < summary.version, known.deletedAt == nil else {
            return false
        }
        rows[summary.id] = Row(summary: summary, cell: cell ?? known.cell, deletedAt: nil)
        return true
    }

    mutating func end(_ id: ServerID, at date: Date, version: Int64?) {
        guard var row = rows[id], row.deletedAt == nil else { return }
        row.deletedAt = date
        row.summary.terminatedAt = date
        row.summary.updatedAt = date
        row.summary.state = ServerState(vm: .deleted, task: nil, power: .noState)
        row.summary.status = row.summary.state.status
        row.summary.version = max(row.summary.version, version ?? row.summary.version + 1)
        rows[id] = row
    }
}

/// An event that contradicts what is known.
package struct EventProblem: Error, CustomStringConvertible {
    package let description: String
}
