package import CellProtocol
package import CloudModel
package import FoundationEssentials
import MessageBus
package import PostgresClient
import ServerLifecycle

extension PostgresRootStore: RootStore, PostgresParentStore {
    package func apply(
        _ event: CellEvent, of cell: CellPath, now: Date, in transaction: PostgresTransaction
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
        case .hostChanged(let host): try await apply([host], of: cell, in: transaction)
        case .cellChanged, .cellRemoved: break
        }
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
        var statements = [DirectorySQL.upsert(summary, cell: cell)]
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
            "delete from scheduler.group_members where instance_id = \(id)",
            """
            update directory.instances set deleted_at = \(now), terminated_at = \(now), updated_at = \(now),
                status = 'DELETED', vm_state = 'deleted', task_state = null, power_state = 0, version = version + 1
            where id = \(id) and deleted_at is null
            """,
        ])
    }
}
