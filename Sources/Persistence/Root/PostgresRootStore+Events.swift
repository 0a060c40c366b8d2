package import CellProtocol
package import CloudModel
package import FoundationEssentials
import MessageBus
import PostgresClient
package import ServerLifecycle

extension PostgresRootStore: RootStore {
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
            var hosts: [HostRecord] = []
            for event in fresh {
                // Hosts that joined one after the other, as all of a new cell do, are written together.
                if case .hostChanged(let host) = event.event {
                    hosts.append(host)
                    continue
                }
                try await apply(&hosts, from: cell, in: transaction)
                try await apply(event.event, from: cell, now: now, in: transaction)
            }
            try await apply(&hosts, from: cell, in: transaction)
            try await transaction.execute(
                "update directory.cells set last_sequence = \(newest) where path = \(cell.description)")
            return newest
        }
    }

    private func apply(
        _ event: CellEvent, from cell: CellPath, now: Date, in transaction: PostgresTransaction
    ) async throws {
        switch event {
        case .instanceChanged(let summary): try await apply(summary, from: cell, now: now, in: transaction)
        case .buildFailed(let failure):
            try await retry(
                failure.id, epoch: failure.epoch, failedHost: failure.host, reason: failure.reason, now: now,
                in: transaction)
        case .instanceDeleted(let deletion):
            let holder: String? = try await holder(of: deletion.id, in: transaction)
            if holder == nil || holder == cell.description { try await finish(deletion.id, now: now, in: transaction) }
        case .hostChanged(let host): try await apply([host], from: cell, in: transaction)
        }
    }

    /// Those gathered so far; then there are none.
    private func apply(
        _ hosts: inout [HostRecord], from cell: CellPath, in transaction: PostgresTransaction
    ) async throws {
        guard !hosts.isEmpty else { return }
        try await apply(hosts, from: cell, in: transaction)
        hosts = []
    }

    private func apply(
        _ summary: InstanceSummary, from cell: CellPath, now: Date, in transaction: PostgresTransaction
    ) async throws {
        if let holder = try await holder(of: summary.id, in: transaction), holder != cell.description {
            // An attempt that was given up and is alive after all: the server lives elsewhere now.
            return try await enqueueDelete(
                summary.id, in: cell, requestID: "-",
                caller: .init(
                    userID: summary.userID.text, projectID: summary.projectID.text, roles: ["admin"]),
                now: now, transaction)
        }
        // A row that the directory has lost is there again with this.
        var statements = [Self.upsert(summary, cell: cell)]
        if summary.state.vm != .building {
            statements.append(
                "delete from scheduler.build_requests where instance_id = \(summary.id) and state in ('placed', 'sent')"
            )
        }
        _ = try await transaction.pipeline(statements)
    }

    private func holder(of id: ServerID, in transaction: PostgresTransaction) async throws -> String? {
        let rows = try await transaction.query(
            """
            select coalesce(i.cell, b.cell) as holder from directory.instances i
            left join scheduler.build_requests b on b.instance_id = i.id
            where i.id = \(id) and i.deleted_at is null for update of i
            """)
        return try rows.first?.get("holder")
    }

    // MARK: The end of a server

    /// Everything of the root's that belongs to the server goes; the directory keeps its row as deleted.
    func finish(_ id: ServerID, now: Date, in transaction: PostgresTransaction) async throws {
        _ = try await transaction.query("select placement.release(\(id))")
        try await ports.release(id, transaction)
        _ = try await transaction.pipeline([
            "delete from scheduler.build_requests where instance_id = \(id)",
            "delete from outbox.commands where instance_id = \(id)",
            "delete from quota.uses where instance_id = \(id)",
            """
            update directory.instances set deleted_at = \(now), terminated_at = \(now), updated_at = \(now),
                status = 'DELETED', vm_state = 'deleted', task_state = null, power_state = 0, version = version + 1
            where id = \(id) and deleted_at is null
            """,
        ])
    }
}
