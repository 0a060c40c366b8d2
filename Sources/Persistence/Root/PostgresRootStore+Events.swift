package import CellProtocol
package import CloudModel
package import FoundationEssentials
import MessageBus
import PostgresClient
import ServerLifecycle

extension PostgresRootStore: RootStore {
    package func apply(_ events: [SequencedEvent], from cell: CellPath, now: Date) async throws -> Int64 {
        guard let newest = events.last?.sequence else { return 0 }
        return try await pool.transaction { transaction in
            let applied: Int64? = try await transaction.query(
                "select last_sequence from directory.cells where path = \(cell.description) for update"
            ).scalar()
            guard let applied else { return newest }
            let fresh = events.drop { $0.sequence <= applied }
            guard let first = fresh.first else { return applied }
            guard first.sequence == applied + 1 else { return applied }
            for event in fresh { try await apply(event.event, from: cell, now: now, in: transaction) }
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
        case .hostChanged(let host): try await apply(host, in: transaction)
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

    private func apply(_ host: HostRecord, in transaction: PostgresTransaction) async throws {
        let inventory = host.inventory
        let classes = ["VCPU", "MEMORY_MB", "DISK_GB"]
        let totals = [inventory.vcpus, inventory.memoryMiB, inventory.diskGiB]
        let reserved = [0, min(inventory.reservedMemoryMiB, inventory.memoryMiB), 0]
        let ratios = [inventory.cpuAllocationRatio, inventory.memoryAllocationRatio, inventory.diskAllocationRatio]
        var statements: [Statement] = [
            """
            insert into directory.hosts (name, id, cell, availability_zone, is_enabled, is_up, record)
            values (\(host.name.text), \(host.id), \(host.cell.description), \(host.availabilityZone),
                \(host.isEnabled), \(host.isUp), \(PostgresJSON(host)))
            on conflict (name) do update set id = excluded.id, cell = excluded.cell,
                availability_zone = excluded.availability_zone, is_enabled = excluded.is_enabled,
                is_up = excluded.is_up, record = excluded.record
            """,
            """
            insert into placement.providers (id, name, cell)
            values (\(host.id), \(host.name.text), \(host.cell.description))
            on conflict (name) do update set cell = excluded.cell, generation = placement.providers.generation + 1
            """,
        ]
        for index in classes.indices {
            statements.append(
                """
                insert into placement.inventories (provider_id, class, total, reserved, allocation_ratio)
                select p.id, \(classes[index]), \(totals[index]), \(reserved[index]), \(ratios[index])
                from placement.providers p where p.name = \(host.name.text)
                on conflict (provider_id, class) do update set total = excluded.total, reserved = excluded.reserved,
                    allocation_ratio = excluded.allocation_ratio
                """)
        }
        statements.append(Self.nudge(.buildRequests))
        _ = try await transaction.pipeline(statements)
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
