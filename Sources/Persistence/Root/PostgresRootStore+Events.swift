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
        let known = try await known(summary.id, in: transaction)
        let isElsewhere = known?.holder.map { $0 != cell.description } ?? false
        if isElsewhere || known?.isGone == true && summary.state.vm != .deleted {
            // An attempt that was given up and is alive after all: the server lives elsewhere now, or its user deleted it.
            return try await enqueueDelete(
                summary.id, in: cell, requestID: "-",
                caller: .init(
                    userID: summary.userID.text, projectID: summary.projectID.text, roles: ["admin"]),
                now: now, transaction)
        }
        if let known, known.isWaiting, try await !takeBack(summary, from: cell, in: transaction) { return }
        // A row that the directory has lost is there again with this.
        var statements = [DirectorySQL.upsert(summary, cell: cell)]
        if summary.state.vm != .building {
            statements.append(
                "delete from scheduler.build_requests where instance_id = \(summary.id) and state in ('placed', 'sent')"
            )
        }
        _ = try await transaction.pipeline(statements)
    }

    /// An attempt that was given back because its cell could not be asked is there after all, and the server waits for no
    /// host any more.
    /// - Returns: false for news of an attempt that is over.
    private func takeBack(
        _ summary: InstanceSummary, from cell: CellPath, in transaction: PostgresTransaction
    ) async throws -> Bool {
        let rows = try await transaction.query(
            """
            select b.build, b.epoch, max(p.epoch) as lives from scheduler.build_requests b
            join directory.placements p on p.instance_id = b.instance_id
            where b.instance_id = \(summary.id) and p.cell = \(cell.description) and p.host = \(summary.host?.text)
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
            update scheduler.build_requests set state = 'sent', cell = \(cell.description), host = \(host.text),
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

    private func known(_ id: ServerID, in transaction: PostgresTransaction) async throws -> Known? {
        let rows = try await transaction.query(
            """
            select coalesce(i.cell, b.cell) as holder, i.deleted_at is not null as is_gone,
                coalesce(b.state = 'waiting', false) as is_waiting
            from directory.instances i left join scheduler.build_requests b on b.instance_id = i.id
            where i.id = \(id) for update of i
            """)
        return try rows.first.map { row in
            Known(holder: try row.get("holder"), isGone: try row.get("is_gone"), isWaiting: try row.get("is_waiting"))
        }
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
