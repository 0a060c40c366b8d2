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
        let known = try await known([deletion.id], in: transaction)[deletion.id]
        let holder = known.flatMap { $0.isGone ? nil : $0.holder }
        if holder == nil || holder == leaf.description { try await finish(deletion.id, now: now, in: transaction) }
    }

    package func apply(
        _ servers: [(summary: InstanceSummary, leaf: CellPath)], now: Date, in transaction: PostgresTransaction
    ) async throws {
        var known = try await known(servers.map(\.summary.id), in: transaction)
        var statements: [Statement] = []
        var built: [ServerID] = []
        for (summary, leaf) in servers {
            let before = known[summary.id]
            let isElsewhere = before?.holder.map { $0 != leaf.description } ?? false
            if isElsewhere || before?.isGone == true && summary.state.vm != .deleted {
                // An attempt that was given up and is alive after all: the server lives elsewhere now, or its user
                // deleted it.
                try await enqueueDelete(
                    summary.id, in: leaf, requestID: "-",
                    caller: .init(
                        userID: summary.userID.text, projectID: summary.projectID.text, roles: ["admin"]),
                    now: now, transaction)
                continue
            }
            if before?.isWaiting == true, try await !takeBack(summary, from: leaf, in: transaction) { continue }
            known[summary.id] = Known(
                holder: leaf.description, isGone: before?.isGone ?? false, isWaiting: false)
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

    /// An attempt that was given back because its cell could not be asked is there after all, and the server waits for no
    /// host any more.
    /// - Returns: false for news of an attempt that is over.
    private func takeBack(
        _ summary: InstanceSummary, from leaf: CellPath, in transaction: PostgresTransaction
    ) async throws -> Bool {
        let rows = try await transaction.query(
            """
            select b.build, b.epoch, max(p.epoch) as lives from scheduler.build_requests b
            join directory.placements p on p.instance_id = b.instance_id
            where b.instance_id = \(summary.id) and p.cell = \(leaf.description) and p.host = \(summary.host?.text)
            group by b.instance_id
            """)
        guard let row = rows.first, let host = summary.host, summary.state.vm != .error else { return false }
        let epoch: Int = try row.get("lives")
        // What becomes of one that is being built is told by its epoch.
        guard try summary.state.vm != .building || epoch == row.get("epoch") else { return false }
        let build: BuildSpecification = try row.json("build")
        let resources = build.instance.flavor.resources.sorted { $0.key < $1.key }
        // It is there whether there is room or not; then the reconciler claims what it can.
        _ = try await transaction.pipeline([
            """
            select placement.claim(\(summary.id), p.id, \(resources.map(\.key)), \(resources.map(\.value)))
            from placement.providers p where p.name = \(host.text)
            """,
            """
            update scheduler.build_requests set state = 'sent', cell = \(leaf.description), host = \(host.text),
                not_before = null
            where instance_id = \(summary.id)
            """,
            """
            update directory.placements set failure = null, failed_at = null
            where instance_id = \(summary.id) and epoch = \(epoch)
            """,
        ])
        return true
    }

    /// What the root knows of a server that a cell speaks of.
    private struct Known {
        /// The cell that it is in, or was sent to.
        var holder: String?
        /// It was deleted.
        var isGone: Bool
        /// It waits for a host.
        var isWaiting: Bool
    }

    /// - Returns: by id, those that the directory has.
    private func known(
        _ servers: [ServerID], in transaction: PostgresTransaction
    ) async throws -> [ServerID: Known] {
        let rows = try await transaction.query(
            """
            select i.id, coalesce(i.cell, b.cell) as holder, i.deleted_at is not null as is_gone,
                coalesce(b.state = 'waiting', false) as is_waiting
            from directory.instances i left join scheduler.build_requests b on b.instance_id = i.id
            where i.id = any(\(servers)) order by i.id for update of i
            """)
        var known: [ServerID: Known] = [:]
        for row in rows {
            known[try row.get("id")] = Known(
                holder: try row.get("holder"), isGone: try row.get("is_gone"), isWaiting: try row.get("is_waiting"))
        }
        return known
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
