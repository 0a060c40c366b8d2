package import CellProtocol
package import CloudModel
package import FoundationEssentials
import PostgresClient
import ServerLifecycle

// A directory that lost rows reads them again: those of cells from the cells' inventories, those of servers without a
// cell from their build requests. `directory.gaps` says of which cells that is still to be done, lists say it after it.
extension PostgresRootStore {
    /// Build requests looked at in one transaction.
    private static let restoreBatch = 200

    package func requestResync(of path: CellPath) async throws -> Bool {
        try await pool.transaction { transaction in
            let changed = try await transaction.execute(
                "update directory.cells set resync_wanted = true where path = \(path.description)")
            if changed > 0 { _ = try await transaction.query(Self.nudge(.cells)) }
            return changed > 0
        }
    }

    package func noteLoss(of path: CellPath, now: Date) async throws {
        _ = try await pool.query("select directory.note_gaps(array[\(path.description)::text])")
    }

    package func knownLoss(of path: CellPath) async throws -> Int64? {
        try await pool.query("select number from directory.gaps where cell = \(path.description)").scalar()
    }

    package func merge(_ page: InventoryRequest.Reply, from path: CellPath) async throws -> Bool {
        try await pool.transaction { transaction in
            // Events of the cell are applied under the same lock, so none comes between the look and the rows.
            let applied: Int64? = try await transaction.query(
                "select last_sequence from directory.cells where path = \(path.description) for update"
            ).scalar()
            guard let applied, applied <= page.sequence else { return false }
            guard !page.servers.isEmpty else { return true }
            let ids = page.servers.map(\.id)
            // An attempt that was given up may live on there: the server is elsewhere.
            let elsewhere: [ServerID] = try await transaction.query(
                """
                select s.id from unnest(\(ids)) as s (id) left join directory.instances i on i.id = s.id
                left join scheduler.build_requests b on b.instance_id = s.id
                where coalesce(i.cell, b.cell) <> \(path.description)
                """
            ).column()
            let strangers = Set(elsewhere)
            _ = try await transaction.pipeline(
                page.servers.filter { !strangers.contains($0.id) }.map { Self.upsert($0, cell: path) } + [
                    // Who was to be deleted, still is.
                    """
                    update directory.instances i set task_state = 'deleting'
                    where i.id = any(\(ids)) and i.deleted_at is null and exists (
                        select from outbox.commands c where c.instance_id = i.id
                            and c.action = \(PostgresJSON(ServerAction.delete)))
                    """
                ])
            return true
        }
    }

    package func endResync(of path: CellPath, loss: Int64?) async throws {
        _ = try await pool.pipelineTransaction([
            "delete from directory.gaps where cell = \(path.description) and number = \(loss ?? 0)",
            "update directory.cells set resync_wanted = false where path = \(path.description)",
            Self.nudge(.cells),
        ])
    }

    package func audit(of path: CellPath) async throws -> DirectoryAudit {
        let rows = try await pool.query(
            """
            select coalesce((select last_sequence from directory.cells where path = \(path.description)), 0) as sequence,
                i.servers, i.digest from (
                    select count(*) as servers, \(raw: DirectorySQL.digest) as digest from directory.instances i
                    where cell = \(path.description) and deleted_at is null and vm_state <> 'building'
                        and not (vm_state = 'error' and launched_at is null)
                ) i
            """)
        guard let row = rows.first else { throw StoredValueError(what: "audit", value: "none") }
        return try DirectorySQL.audit(row)
    }

    package func restoreUnplaced() async throws -> Int {
        let loss = try await knownLoss(of: .root)
        var restored = 0
        while true {
            let count = try await restoreBatch()
            restored += count
            if count < Self.restoreBatch { break }
        }
        if let loss {
            _ = try await pool.pipelineTransaction([
                "delete from directory.gaps where cell = '/' and number = \(loss)", Self.nudge(.buildRequests),
            ])
        }
        return restored
    }

    private func restoreBatch() async throws -> Int {
        try await pool.transaction { transaction in
            let rows = try await transaction.query(
                """
                select b.build, b.cell, b.state from scheduler.build_requests b
                where not exists (select from directory.instances i where i.id = b.instance_id)
                order by b.created_at limit \(Self.restoreBatch) for update
                """)
            let statements = try rows.map { row -> Statement in
                let build: BuildSpecification = try row.json("build")
                let state: String = try row.get("state")
                let holder: String? = try row.get("cell")
                let summary = InstanceSummary(build.instance)
                return Self.upsert(summary, cell: state == "sent" ? try holder.map { try Self.cell($0) } : nil)
            }
            if !statements.isEmpty { _ = try await transaction.pipeline(statements) }
            return rows.count
        }
    }

    package func reconcileUses() async throws -> Int {
        // One statement sees one moment: a server and its use come and go in one transaction.
        let rows = try await pool.query(
            """
            with whole as (select not exists (select from directory.gaps) as is_whole),
            gone as (
                delete from quota.uses u using whole w where w.is_whole and not exists (
                    select from directory.instances i where i.id = u.instance_id and i.deleted_at is null)
                returning u.instance_id
            ), missing as (
                insert into quota.uses (instance_id, project_id, user_id, vcpus, memory_mib)
                select i.id, i.project_id, i.user_id, i.vcpus, i.memory_mib from directory.instances i, whole w
                where w.is_whole and i.deleted_at is null
                    and not exists (select from quota.uses u where u.instance_id = i.id)
                on conflict do nothing returning instance_id
            ), wrong as (
                update quota.uses u set project_id = i.project_id, user_id = i.user_id, vcpus = i.vcpus,
                    memory_mib = i.memory_mib
                from directory.instances i, whole w
                where w.is_whole and i.id = u.instance_id and i.deleted_at is null
                    and (u.project_id, u.user_id, u.vcpus, u.memory_mib)
                        is distinct from (i.project_id, i.user_id, i.vcpus, i.memory_mib)
                returning u.instance_id
            )
            select (select count(*) from gone) + (select count(*) from missing) + (select count(*) from wrong) as count
            """)
        return Int(try rows.first?.get("count", as: Int64.self) ?? 0)
    }

    /// The row as the cell tells it, unless the directory knows something newer, or that the server is gone.
    static func upsert(_ summary: InstanceSummary, cell: CellPath?) -> Statement {
        let isDeleted = summary.state.vm == .deleted
        let deletedAt = isDeleted ? summary.terminatedAt ?? summary.updatedAt : nil
        let insert: Statement = """
            insert into directory.instances as i (id, version, cell, project_id, user_id, name, hostname, description,
                status, vm_state, task_state, power_state, host, flavor_id, image_id, availability_zone, key_name,
                addresses, tags, is_locked, reservation_id, vcpus, memory_mib, created_at, updated_at, launched_at,
                terminated_at, deleted_at)
            values (\(summary.id), \(summary.version), \(cell?.description), \(summary.projectID.text),
                \(summary.userID.text), \(summary.name), \(summary.hostname), \(summary.description), \(summary.status),
                \(summary.state.vm.rawValue), \(summary.state.task?.rawValue), \(summary.state.power.rawValue),
                \(summary.host?.text), \(summary.flavorID), \(summary.imageID), \(summary.availabilityZone),
                \(summary.keyName), \(summary.addresses), \(summary.tags), \(summary.isLocked),
                \(summary.reservationID), \(summary.vcpus ?? 0), \(summary.memoryMiB ?? 0), \(summary.createdAt),
                \(summary.updatedAt), \(summary.launchedAt), \(summary.terminatedAt), \(deletedAt))
            """
        // The end of a server releases what it holds: that is the event's to do.
        if isDeleted { return "\(fragment: insert) on conflict (id) do nothing" }
        return """
            \(fragment: insert) on conflict (id) do update set version = excluded.version,
                cell = coalesce(excluded.cell, i.cell), name = excluded.name, hostname = excluded.hostname,
                description = excluded.description, status = excluded.status, vm_state = excluded.vm_state,
                task_state = excluded.task_state, power_state = excluded.power_state, host = excluded.host,
                flavor_id = excluded.flavor_id, image_id = excluded.image_id,
                availability_zone = excluded.availability_zone, key_name = excluded.key_name,
                addresses = excluded.addresses, tags = excluded.tags, is_locked = excluded.is_locked,
                vcpus = case when excluded.vcpus > 0 then excluded.vcpus else i.vcpus end,
                memory_mib = case when excluded.memory_mib > 0 then excluded.memory_mib else i.memory_mib end,
                updated_at = excluded.updated_at, launched_at = excluded.launched_at,
                terminated_at = excluded.terminated_at
            where i.version < excluded.version and i.deleted_at is null
            """
    }
}
