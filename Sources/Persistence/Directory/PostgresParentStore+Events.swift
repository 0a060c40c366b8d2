package import CellProtocol
package import CloudModel
package import FoundationEssentials
import PostgresClient
package import ServerLifecycle

extension PostgresParentStore {
    package func apply(
        _ events: [SequencedEvent], from cell: CellPath, now: Date
    ) async throws -> AppliedEvents {
        do {
            return AppliedEvents(newest: try await applyAll(events, from: cell, now: now))
        } catch {
            guard Self.isRefusal(error) else { throw error }
            // One of them cannot be applied, now or ever: it goes alone, and the others without it.
            return try await applyEach(events, from: cell, now: now)
        }
    }

    private func applyEach(
        _ events: [SequencedEvent], from cell: CellPath, now: Date
    ) async throws -> AppliedEvents {
        var result = AppliedEvents(newest: 0)
        for event in events {
            do {
                result.newest = try await applyAll([event], from: cell, now: now)
            } catch {
                guard Self.isRefusal(error) else { throw error }
                try await pool.execute(
                    """
                    update directory.cells set last_sequence = \(event.sequence)
                    where path = \(cell.description) and last_sequence = \(event.sequence - 1)
                    """)
                result.newest = event.sequence
                result.refused.append(.init(sequence: event.sequence, reason: "\(error)"))
            }
        }
        return result
    }

    /// Whether an error is the event's own fault, so that it would come again whenever the event is applied.
    private static func isRefusal(_ error: any Error) -> Bool {
        if error is EventRefusal { return true }
        guard let error = error as? PostgresError else { return false }
        if case .encoding = error { return true }
        // Data exceptions and violated constraints.
        return error.sqlState.map { ["22", "23"].contains($0.category) } ?? false
    }

    /// In one transaction.
    /// - Returns: the newest sequence that is applied then.
    private func applyAll(_ events: [SequencedEvent], from cell: CellPath, now: Date) async throws -> Int64 {
        guard let newest = events.last?.sequence else { return 0 }
        return try await pool.transaction { transaction in
            let applied: Int64? = try await transaction.query(
                "select last_sequence from directory.cells where path = \(cell.description) for update"
            ).scalar()
            guard let applied else { return newest }
            let fresh = events.drop { $0.sequence <= applied }
            guard let first = fresh.first else { return applied }
            guard first.sequence == applied + 1 else { return applied }
            var rest = Array(fresh)[...]
            while !rest.isEmpty { try await applyRun(&rest, from: cell, now: now, in: transaction) }
            try await transaction.execute(
                "update directory.cells set last_sequence = \(newest) where path = \(cell.description)")
            return newest
        }
    }

    private static func origin(of event: SequencedEvent, from child: CellPath) throws(EventRefusal) -> CellPath {
        let origin = event.origin ?? child
        guard child.holds(origin) else {
            throw EventRefusal(description: "cell \(child) speaks for cell \(origin), which is not below it")
        }
        return origin
    }

    /// Takes events of one kind off the front, however many follow each other, and writes them together: those of a new
    /// cell, and of one that was away, are of few kinds.
    private func applyRun(
        _ rest: inout ArraySlice<SequencedEvent>, from child: CellPath, now: Date, in transaction: PostgresTransaction
    ) async throws {
        guard let first = rest.first else { return }
        let leaf = try Self.origin(of: first, from: child)
        switch first.event {
        case .hostChanged:
            let hosts = try rest.takeWhile { event -> HostRecord? in
                guard case .hostChanged(let host) = event.event else { return nil }
                return try Self.origin(of: event, from: child) == leaf ? host : nil
            }
            try await apply(hosts, of: leaf, in: transaction)
        case .instanceChanged:
            let servers = try rest.takeWhile { event -> (summary: InstanceSummary, leaf: CellPath)? in
                guard case .instanceChanged(let summary) = event.event else { return nil }
                return (summary, try Self.origin(of: event, from: child))
            }
            try await apply(servers, now: now, in: transaction)
        case .cellChanged:
            let standings = rest.takeWhile { event -> CellStanding? in
                if case .cellChanged(let standing) = event.event { standing } else { nil }
            }
            try await apply(standings, from: child, in: transaction)
        case .cellRemoved(let path):
            rest.removeFirst()
            guard child.holds(path), child != path else {
                throw EventRefusal(description: "cell \(child) removes cell \(path), which is not below it")
            }
            _ = try await transaction.pipeline(
                [Self.deleteCells(path)] + (try tell([first.event])) + [Self.nudge(.cells)])
        case .buildFailed(let failure):
            rest.removeFirst()
            try await apply(failure, of: leaf, now: now, in: transaction)
        case .instanceDeleted(let deletion):
            rest.removeFirst()
            try await apply(deletion, of: leaf, now: now, in: transaction)
        }
    }

    private func apply(
        _ standings: [CellStanding], from child: CellPath, in transaction: PostgresTransaction
    ) async throws {
        if let stray = standings.first(where: { !child.holds($0.path) || child == $0.path }) {
            throw EventRefusal(description: "cell \(child) tells of cell \(stray.path), which is not below it")
        }
        let statements = standings.map { standing -> Statement in
            """
            insert into directory.cells as c (path, health, reason, since, heartbeat)
            values (\(standing.path.description), \(standing.health.rawValue), \(standing.reason),
                \(standing.since), nullif(\(Self.json(standing.heartbeat)), 'null'::jsonb))
            on conflict (path) do update set health = excluded.health, reason = excluded.reason,
                since = excluded.since, heartbeat = excluded.heartbeat
            where c.bus is null
            """
        }
        let news = try tell(standings.map { .cellChanged($0) })
        _ = try await transaction.pipeline(statements + news + [Self.nudge(.health), Self.nudge(.commands)])
    }
}

extension ArraySlice {
    /// Takes elements off the front as long as `transform` makes something of them.
    fileprivate mutating func takeWhile<Result>(_ transform: (Element) throws -> Result?) rethrows -> [Result] {
        var taken: [Result] = []
        while let first, let result = try transform(first) {
            taken.append(result)
            removeFirst()
        }
        return taken
    }
}

/// An event that contradicts what the parent knows. A person must look; the cell's other events go on.
struct EventRefusal: Error, CustomStringConvertible {
    let description: String
}
