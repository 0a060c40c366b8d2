import CloudModel
import PostgresClient

extension DirectorySQL {
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
