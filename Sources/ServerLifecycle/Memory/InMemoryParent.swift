package import CellProtocol
package import CloudModel
package import FoundationEssentials
import Primitives
import Synchronization

/// What a stand-in for a parent's database adds to ``DirectoryTables``.
package protocol ParentTables: Sendable {
    var directory: DirectoryTables { get set }

    /// Applies one event about a server or a host of the leaf `origin`.
    mutating func apply(_ event: CellEvent, of origin: CellPath, now: Date) throws(EventProblem)
    /// Tells the cell's own parent, if it has one.
    mutating func tell(_ event: CellEvent, now: Date)
    /// Where a server is by what this cell has decided or heard.
    func holder(of id: ServerID, includingDeleted: Bool) -> CellPath?
    /// Takes a server as its leaf tells it.
    mutating func take(_ summary: InstanceSummary, of leaf: CellPath, now: Date)
}

/// Tables under a lock, a transaction at a time, and those who listen to them.
package final class InMemoryParent<Tables: ParentTables>: Sendable {
    private struct Listeners {
        var next = 0
        var streams: [Int: AsyncStream<DirectoryChange>.Continuation] = [:]
    }

    let wallClock: any WallClock
    private let tables: Mutex<Tables>
    private let listeners = Mutex(Listeners())

    init(_ tables: Tables, wallClock: any WallClock) {
        self.tables = Mutex(tables)
        self.wallClock = wallClock
    }

    func read<Result: Sendable>(_ body: (Tables) -> Result) -> Result { tables.withLock { body($0) } }

    /// One transaction.
    func change<Result: Sendable>(_ body: (inout Tables) -> Result) -> Result {
        let (result, nudges) = tables.withLock { tables in
            let result = body(&tables)
            defer { tables.directory.nudges = [] }
            return (result, tables.directory.nudges)
        }
        let streams = listeners.withLock { listeners in listeners.streams.sorted { $0.key < $1.key }.map(\.value) }
        for nudge in nudges { for stream in streams { stream.yield(nudge) } }
        return result
    }

    func changes() -> AsyncStream<DirectoryChange> {
        let (stream, continuation) = AsyncStream.makeStream(of: DirectoryChange.self)
        let number = listeners.withLock { listeners in
            listeners.next += 1
            listeners.streams[listeners.next] = continuation
            return listeners.next
        }
        continuation.onTermination = { [weak self] _ in self?.listeners.withLock { $0.streams[number] = nil } }
        continuation.yield(.unknown)
        return stream
    }
}

/// The parent's part of a stand-in: what `PostgresParentStore` is for the adapters.
package protocol InMemoryParentStore: ParentStore {
    associatedtype Tables: ParentTables
    var memory: InMemoryParent<Tables> { get }
}

extension InMemoryParentStore {
    package func changes() -> AsyncStream<DirectoryChange> { memory.changes() }

    // MARK: Cells

    package func cells() async throws -> [CellMapping] { memory.read(\.directory.mappings) }

    /// The cells below the children, by what these have told.
    package func cellsBelow() -> [CellStatus] { memory.read(\.directory.statuses) }

    package func putCell(_ path: CellPath, bus: CellMapping.Endpoint, now: Date) async throws -> Bool {
        memory.change { tables in
            if tables.directory.cells[path]?.bus == bus { return false }
            if tables.directory.cells[path] == nil {
                let standing = CellStanding(
                    path: path, health: .down, reason: "not heard of yet", since: now, heartbeat: nil)
                tables.directory.cells[path] = DirectoryTables.Cell(bus: bus, standing: standing)
                tables.tell(.cellChanged(standing), now: now)
            } else {
                tables.directory.cells[path]?.bus = bus
            }
            tables.directory.nudges.append(.cells)
            return true
        }
    }

    package func removeCell(_ path: CellPath) async throws -> Bool {
        let now = memory.wallClock.now()
        return memory.change { tables in
            guard tables.directory.removeCells(path) else { return false }
            tables.tell(.cellRemoved(path), now: now)
            tables.directory.nudges.append(.cells)
            return true
        }
    }

    package func setHealth(_ standings: [CellStanding], watcher: String?) async throws {
        let now = memory.wallClock.now()
        memory.change { tables in
            guard watcher.map({ tables.directory.isWatched(by: $0, now: now) }) ?? true else { return }
            for standing in standings where tables.directory.cells[standing.path] != nil {
                tables.directory.cells[standing.path]?.standing = standing
                tables.tell(.cellChanged(standing), now: now)
                tables.directory.nudges.append(.health)
            }
        }
    }

    package func takeWatch(owner: String, for duration: Duration) async throws -> Bool {
        let now = memory.wallClock.now()
        return memory.change { $0.directory.takeWatch(owner, until: now + duration.timeInterval, now: now) }
    }

    package func releaseWatch(owner: String) async throws { memory.change { $0.directory.releaseWatch(owner) } }

    // MARK: Completeness

    package func requestResync(of path: CellPath) async throws -> Bool {
        memory.change { tables in
            guard tables.directory.cells[path] != nil else { return false }
            tables.directory.cells[path]?.isResyncWanted = true
            tables.directory.nudges.append(.cells)
            return true
        }
    }

    package func noteLoss(of path: CellPath, now: Date) async throws {
        memory.change { $0.directory.noteGap(path) }
    }

    package func knownLoss(of path: CellPath) async throws -> Int64? {
        memory.read { tables in tables.directory.gaps.filter { path.holds($0.value) }.keys.max() }
    }

    package func merge(_ page: InventoryRequest.Reply, from path: CellPath) async throws -> Bool {
        if let origins = page.origins {
            guard origins.count == page.servers.count, origins.allSatisfy({ path.holds($0) }) else {
                throw CellFailure(message: "the inventory tells of cells that are not below \(path)")
            }
        }
        let now = memory.wallClock.now()
        return memory.change { tables in
            guard let applied = tables.directory.cells[path]?.lastSequence, applied <= page.sequence else {
                return false
            }
            for (index, summary) in page.servers.enumerated() {
                let leaf = page.origins?[index] ?? path
                // An attempt that was given up may live on there: the server is elsewhere.
                if let holder = tables.holder(of: summary.id, includingDeleted: true), holder != leaf { continue }
                tables.take(summary, of: leaf, now: now)
            }
            return true
        }
    }

    package func endResync(of path: CellPath, loss: Int64?) async throws {
        memory.change { tables in
            tables.directory.gaps = tables.directory.gaps.filter { number, cell in
                !(path.holds(cell) && number <= loss ?? 0)
            }
            tables.directory.cells[path]?.isResyncWanted = false
            tables.directory.nudges.append(.cells)
        }
    }

    package func missing(
        of path: CellPath, besides known: Set<ServerID>, createdBefore date: Date
    ) async throws -> [ServerID] {
        memory.read { tables in
            tables.directory.rows.values.filter { row in
                row.counts && row.cell.map { path.holds($0) } == true && row.summary.createdAt < date
                    && !known.contains(row.summary.id)
            }.map(\.summary.id).sorted()
        }
    }

    package func audit(of path: CellPath) async throws -> DirectoryAudit {
        memory.read { tables in
            tables.directory.audit(of: path, sequence: tables.directory.cells[path]?.lastSequence ?? 0)
        }
    }

    // MARK: Events

    package func apply(_ events: [SequencedEvent], from cell: CellPath, now: Date) async throws -> AppliedEvents {
        memory.change { tables in
            var copy = tables
            do throws(EventProblem) {
                let newest = try copy.applyAll(events, from: cell, now: now)
                tables = copy
                return AppliedEvents(newest: newest)
            } catch {
                // One of them cannot be applied, now or ever: it goes alone, and the others without it.
                return tables.applyEach(events, from: cell, now: now)
            }
        }
    }
}

extension ParentTables {
    fileprivate mutating func applyEach(
        _ events: [SequencedEvent], from cell: CellPath, now: Date
    ) -> AppliedEvents {
        var result = AppliedEvents(newest: 0)
        for event in events {
            var copy = self
            do throws(EventProblem) {
                result.newest = try copy.applyAll([event], from: cell, now: now)
                self = copy
            } catch {
                if directory.cells[cell]?.lastSequence == event.sequence - 1 {
                    directory.cells[cell]?.lastSequence = event.sequence
                }
                result.newest = event.sequence
                result.refused.append(.init(sequence: event.sequence, reason: "\(error)"))
            }
        }
        return result
    }

    /// - Returns: the newest sequence that is applied then.
    fileprivate mutating func applyAll(
        _ events: [SequencedEvent], from cell: CellPath, now: Date
    ) throws(EventProblem) -> Int64 {
        guard let newest = events.last?.sequence else { return 0 }
        guard let applied = directory.cells[cell]?.lastSequence else { return newest }
        let fresh = events.drop { $0.sequence <= applied }
        guard let first = fresh.first, first.sequence == applied + 1 else { return applied }
        for event in fresh { try apply(event, from: cell, now: now) }
        directory.cells[cell]?.lastSequence = newest
        return newest
    }

    private mutating func apply(
        _ event: SequencedEvent, from child: CellPath, now: Date
    ) throws(EventProblem) {
        let origin = event.origin ?? child
        guard child.holds(origin) else {
            throw EventProblem(description: "cell \(child) speaks for cell \(origin), which is not below it")
        }
        switch event.event {
        case .cellChanged(let standing):
            guard child.holds(standing.path), child != standing.path else {
                throw EventProblem(description: "cell \(child) tells of cell \(standing.path)")
            }
            if directory.cells[standing.path] == nil {
                directory.cells[standing.path] = DirectoryTables.Cell(standing: standing)
            } else if directory.cells[standing.path]?.bus == nil {
                directory.cells[standing.path]?.standing = standing
            }
            tell(event.event, now: now)
            directory.nudges += [.health, .commands]
        case .cellRemoved(let path):
            guard child.holds(path), child != path else {
                throw EventProblem(description: "cell \(child) removes cell \(path)")
            }
            _ = directory.removeCells(path)
            tell(event.event, now: now)
            directory.nudges.append(.cells)
        case .instanceChanged, .buildFailed, .instanceDeleted, .hostChanged:
            try apply(event.event, of: origin, now: now)
        }
    }
}
