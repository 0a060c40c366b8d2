package import CellProtocol
package import CloudModel
package import FoundationEssentials
import MessageBus
package import PostgresClient
import ServerLifecycle

extension PostgresRootStore: RootStore, PostgresParentStore {
    package func apply(
        _ failure: BuildFailure, of leaf: CellPath, now: Date, in transaction: PostgresTransaction
    ) async throws {
        try await retry(
            failure.id, epoch: failure.epoch, failedHost: failure.host, reason: failure.reason, now: now,
            in: transaction)
    }

    package func apply(
        _ deletion: InstanceDeletion, of leaf: CellPath, now: Date, in transaction: PostgresTransaction
    ) async throws {
        let holder = try await holders(of: [deletion.id], in: transaction)[deletion.id]
        if holder == nil || holder == leaf.description { try await finish(deletion.id, now: now, in: transaction) }
    }

    package func apply(
        _ servers: [(summary: InstanceSummary, leaf: CellPath)], now: Date, in transaction: PostgresTransaction
    ) async throws {
        var holders = try await holders(of: servers.map(\.summary.id), in: transaction)
        var statements: [Statement] = []
        var built: [ServerID] = []
        for (summary, leaf) in servers {
            let holder = holders[summary.id] ?? leaf.description
            holders[summary.id] = holder
            guard holder == leaf.description else {
                // An attempt that was given up and is alive after all: the server lives elsewhere now.
                try await enqueueDelete(
                    summary.id, in: leaf, requestID: "-",
                    caller: .init(
                        userID: summary.userID.text, projectID: summary.projectID.text, roles: ["admin"]),
                    now: now, transaction)
                continue
            }
            // A row that the directory has lost is there again with this.
            statements.append(DirectorySQL.upsert(summary, cell: leaf))
            if summary.state.vm != .building { built.append(summary.id) }
        }
        if !built.isEmpty {
            statements.append(
                """
                delete from scheduler.build_requests
                where instance_id = any(\(built)) and state in ('placed', 'sent')
                """)
        }
        if !statements.isEmpty { _ = try await transaction.pipeline(statements) }
    }

    /// In which cells servers are, or are being built, that are not deleted.
    private func holders(
        of servers: [ServerID], in transaction: PostgresTransaction
    ) async throws -> [ServerID: String] {
        let rows = try await transaction.query(
            """
            select i.id, coalesce(i.cell, b.cell) as holder from directory.instances i
            left join scheduler.build_requests b on b.instance_id = i.id
            where i.id = any(\(servers)) and i.deleted_at is null order by i.id for update of i
            """)
        var holders: [ServerID: String] = [:]
        for row in rows { holders[try row.get("id")] = try row.get("holder", as: String?.self) }
        return holders
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
