package import CellProtocol
package import CloudModel
package import FoundationEssentials
package import Primitives

/// The stand-in for a branch cell's database: for tests and simulations.
package final class InMemoryBranchStore: InMemoryParentStore, BranchStore {
    package struct Tables: ParentTables {
        let cell: CellPath
        package var directory = DirectoryTables()
        /// In which leaf a child has taken a server of which nothing was heard yet, or which was tried elsewhere before.
        var routes: [ServerID: CellPath] = [:]
        var outbox = OutboxTable()
        var duties: [CellDuty: (owner: String, until: Date)] = [:]
    }

    package let memory: InMemoryParent<Tables>
    private let cell: CellPath

    package init(cell: CellPath, wallClock: any WallClock) {
        self.cell = cell
        memory = InMemoryParent(Tables(cell: cell), wallClock: wallClock)
    }

    // MARK: As a branch

    package func note(_ servers: [ServerID], in leaf: CellPath) async throws {
        memory.change { tables in
            // What was heard of them in this leaf already is as good as a route.
            for id in servers where tables.directory.rows[id]?.cell != leaf { tables.routes[id] = leaf }
        }
    }

    package func places(of servers: [ServerID]) async throws -> BranchPlaces {
        memory.read { tables in
            var places = BranchPlaces(leaves: [:], isIncomplete: !tables.directory.gaps.isEmpty)
            for id in servers { places.leaves[id] = tables.holder(of: id, includingDeleted: false) }
            return places
        }
    }

    package func leaves(of hosts: [HostName]) async throws -> [HostName: CellPath] {
        memory.read { tables in
            hosts.reduce(into: [:]) { found, host in found[host] = tables.directory.hosts[host]?.cell }
        }
    }

    package func hosts() async throws -> [HostRecord] {
        memory.read { tables in tables.directory.hosts.values.sorted { $0.name < $1.name } }
    }

    package func standings() async throws -> [CellStanding] {
        memory.read { tables in tables.directory.cells.values.map(\.standing).sorted { $0.path < $1.path } }
    }

    package func inventory(after id: ServerID?, limit: Int) async throws -> InventoryRequest.Reply {
        let tables = memory.read { $0 }
        try Self.checkGaps(tables)
        let rows = tables.directory.rows.values
            .filter { row in
                id.map { $0 < row.summary.id } ?? true
                    && (row.summary.state.vm != .error || row.summary.launchedAt != nil)
            }
            .sorted { $0.summary.id < $1.summary.id }.prefix(limit)
        var reply = InventoryRequest.Reply(
            servers: rows.map(\.summary), sequence: tables.outbox.newest, isLast: rows.count < limit)
        reply.origins = rows.map { $0.cell ?? cell }
        return reply
    }

    package func audit() async throws -> DirectoryAudit {
        let tables = memory.read { $0 }
        try Self.checkGaps(tables)
        return tables.directory.audit(of: cell, sequence: tables.outbox.newest)
    }

    private static func checkGaps(_ tables: Tables) throws {
        let known = tables.directory.gaps.values.filter { tables.directory.cells[$0] != nil }
        if !known.isEmpty { throw IncompleteDirectory(cells: Set(known).sorted()) }
    }

    package func pruneServers(deletedBefore date: Date, limit: Int) async throws -> Int {
        memory.change { tables in
            let old = tables.directory.rows.values.filter { $0.deletedAt.map { $0 < date } ?? false }
            let ids = old.map(\.summary.id).sorted().prefix(limit)
            for id in ids { tables.directory.rows[id] = nil }
            return ids.count
        }
    }

    // MARK: As a child

    package func unpublishedEvents(confirmed: Int64?, limit: Int) async throws(CellStoreError) -> [EncodedEvent] {
        try memory.change { tables in
            tables.outbox.unpublished(of: tables.cell, confirmed: confirmed, limit: limit)
        }.encoded()
    }

    package func events(
        after sequence: Int64, limit: Int
    ) async throws(CellStoreError) -> (events: [EncodedEvent], newest: Int64) {
        let (events, newest) = memory.read { tables in
            (tables.outbox.events(of: tables.cell, after: sequence, limit: limit), tables.outbox.newest)
        }
        return (try events.encoded(), newest)
    }

    package func pruneEvents(before date: Date, limit: Int) async throws(CellStoreError) -> Int {
        memory.change { $0.outbox.prune(before: date, limit: limit) }
    }

    package func takeDuty(
        _ duty: CellDuty, owner: String, for duration: Duration
    ) async throws(CellStoreError) -> Bool {
        let now = memory.wallClock.now()
        return memory.change { tables in
            if let held = tables.duties[duty], held.owner != owner, held.until >= now { return false }
            tables.duties[duty] = (owner, now + duration.timeInterval)
            return true
        }
    }

    package func releaseDuty(_ duty: CellDuty, owner: String) async throws(CellStoreError) {
        memory.change { tables in
            if tables.duties[duty]?.owner == owner { tables.duties[duty] = nil }
        }
    }

    package func pulse() async throws(CellStoreError) -> CellPulse {
        memory.read { tables in
            let dead = tables.directory.cells.filter { $0.value.standing.health == .down }.keys
            func isGone(_ path: CellPath) -> Bool { dead.contains { $0.holds(path) } }
            let cells = tables.directory.cells
            let leaves = cells.filter { $0.value.standing.heartbeat?.isLeaf == true && !isGone($0.key) }
            let hosts = tables.directory.hosts.values
            return CellPulse(
                newestSequence: tables.outbox.newest,
                conductorsUp: leaves.values.reduce(0) { $0 + ($1.standing.heartbeat?.conductorsUp ?? 0) },
                hostsUp: hosts.count { $0.isUp && !isGone($0.cell) }, hosts: hosts.count, cells: cells.count,
                cellsDown: cells.keys.count { isGone($0) })
        }
    }

    package func listen(
        _ nudge: CellNudge, _ onNudge: @escaping @Sendable () -> Void
    ) async throws(CellStoreError) {
        // Every change of the directory may have left an event; one that left none is a nudge for nothing.
        for await _ in memory.changes() where nudge == .outbox { onNudge() }
    }
}

extension InMemoryBranchStore.Tables {
    package mutating func apply(_ event: CellEvent, of origin: CellPath, now: Date) throws(EventProblem) {
        switch event {
        case .instanceChanged(let summary):
            if let holder = holder(of: summary.id, includingDeleted: false), holder != origin {
                // It lives elsewhere now. What is to become of this one is the root's to say.
                append(event, origin, now)
            } else {
                take(summary, of: origin, now: now)
            }
        case .buildFailed(let failure):
            if routes[failure.id] == origin { routes[failure.id] = nil }
            if let row = directory.rows[failure.id], row.cell == origin, row.summary.launchedAt == nil,
                row.deletedAt == nil
            {
                directory.rows[failure.id] = nil
            }
            append(event, origin, now)
        case .instanceDeleted(let deletion):
            if routes[deletion.id] == origin { routes[deletion.id] = nil }
            if directory.rows[deletion.id]?.cell == origin {
                directory.end(deletion.id, at: deletion.deletedAt, version: deletion.version)
            }
            append(event, origin, now)
        case .hostChanged(let host):
            guard host.cell == origin else {
                throw EventProblem(description: "host \(host.name) is said to be in cell \(host.cell)")
            }
            directory.hosts[host.name] = host
            append(event, origin, now)
        case .cellChanged, .cellRemoved: break
        }
    }

    package mutating func tell(_ event: CellEvent, now: Date) { append(event, nil, now) }

    package func holder(of id: ServerID, includingDeleted: Bool) -> CellPath? {
        if let route = routes[id] { return route }
        guard let row = directory.rows[id], includingDeleted || row.deletedAt == nil else { return nil }
        return row.cell
    }

    /// The row and its news go together; what the directory knows already is no news.
    package mutating func take(_ summary: InstanceSummary, of leaf: CellPath, now: Date) {
        if directory.upsert(summary, cell: leaf) { append(.instanceChanged(summary), leaf, now) }
        routes[summary.id] = nil
    }

    private mutating func append(_ event: CellEvent, _ origin: CellPath?, _ now: Date) {
        outbox.append(event, origin: origin, at: now)
        directory.nudges.append(.unknown)
    }
}

/// Events upward, numbered when they are first read.
struct OutboxTable: Sendable {
    private struct Event: Sendable {
        var event: CellEvent
        var origin: CellPath?
        var at: Date
        var sequence: Int64?
    }

    private var events: [Event] = []
    private var published: Int64 = 0
    private(set) var newest: Int64 = 0

    mutating func append(_ event: CellEvent, origin: CellPath?, at date: Date) {
        events.append(Event(event: event, origin: origin, at: date))
    }

    mutating func unpublished(of cell: CellPath, confirmed: Int64?, limit: Int) -> [SequencedEvent] {
        if let confirmed { published = max(published, confirmed) }
        var numbered = 0
        for index in events.indices where events[index].sequence == nil && numbered < limit {
            newest += 1
            numbered += 1
            events[index].sequence = newest
        }
        return events(of: cell, after: published, limit: limit)
    }

    func events(of cell: CellPath, after sequence: Int64, limit: Int) -> [SequencedEvent] {
        let found = events.compactMap { event in
            event.sequence.map { SequencedEvent(cell: cell, sequence: $0, event: event.event, origin: event.origin) }
        }
        return Array(found.filter { $0.sequence > sequence }.sorted { $0.sequence < $1.sequence }.prefix(limit))
    }

    mutating func prune(before date: Date, limit: Int) -> Int {
        let old = events.indices.filter { index in
            events[index].at < date && events[index].sequence.map { $0 <= published } ?? false
        }.prefix(limit)
        for index in old.reversed() { events.remove(at: index) }
        return old.count
    }
}
