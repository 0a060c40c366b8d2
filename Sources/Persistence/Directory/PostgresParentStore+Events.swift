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
            var joined: (hosts: [HostRecord], leaf: CellPath) = ([], cell)
            for event in fresh {
                let origin = try Self.origin(of: event, from: cell)
                // Hosts that joined one after the other, as all of a new cell do, are written together.
                if case .hostChanged(let host) = event.event, joined.hosts.isEmpty || joined.leaf == origin {
                    joined.hosts.append(host)
                    joined.leaf = origin
                    continue
                }
                if !joined.hosts.isEmpty { try await apply(joined.hosts, of: joined.leaf, in: transaction) }
                joined.hosts = []
                try await apply(event.event, of: origin, from: cell, now: now, in: transaction)
            }
            if !joined.hosts.isEmpty { try await apply(joined.hosts, of: joined.leaf, in: transaction) }
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

    private func apply(
        _ event: CellEvent, of origin: CellPath, from child: CellPath, now: Date, in transaction: PostgresTransaction
    ) async throws {
        switch event {
        case .cellChanged(let standing): try await apply(standing, from: child, in: transaction)
        case .cellRemoved(let path):
            guard child.holds(path), child != path else {
                throw EventRefusal(description: "cell \(child) removes cell \(path), which is not below it")
            }
            _ = try await transaction.pipeline(
                [Self.deleteCells(path)] + (try tell(event)) + [Self.nudge(.cells)])
        case .instanceChanged, .buildFailed, .instanceDeleted, .hostChanged:
            try await apply(event, of: origin, now: now, in: transaction)
        }
    }

    private func apply(
        _ standing: CellStanding, from child: CellPath, in transaction: PostgresTransaction
    ) async throws {
        guard child.holds(standing.path), child != standing.path else {
            throw EventRefusal(description: "cell \(child) tells of cell \(standing.path), which is not below it")
        }
        _ = try await transaction.pipeline(
            [
                """
                insert into directory.cells as c (path, health, reason, since, heartbeat)
                values (\(standing.path.description), \(standing.health.rawValue), \(standing.reason),
                    \(standing.since), nullif(\(Self.json(standing.heartbeat)), 'null'::jsonb))
                on conflict (path) do update set health = excluded.health, reason = excluded.reason,
                    since = excluded.since, heartbeat = excluded.heartbeat
                where c.bus is null
                """
            ] + (try tell(.cellChanged(standing))) + [Self.nudge(.cells), Self.nudge(.commands)])
    }
}

/// An event that contradicts what the parent knows. A person must look; the cell's other events go on.
struct EventRefusal: Error, CustomStringConvertible {
    let description: String
}
