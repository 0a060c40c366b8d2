import CloudModel
import FoundationEssentials
import Primitives
import ServerLifecycle
import PostgresClient

extension PostgresRootStore {
    /// A host joined or changed. Its provider is its own for good, its name its cell's as long as the host is up there.
    func apply(_ host: HostRecord, from cell: CellPath, in transaction: PostgresTransaction) async throws {
        guard host.cell == cell else {
            throw EventRefusal(description: "host \(host.name) is said to be in cell \(host.cell)")
        }
        let known = try await transaction.query(
            """
            select name, id, cell, is_up from directory.hosts
            where name = \(host.name.text) or id = \(host.id) order by name for update
            """)
        var statements: [Statement] = []
        for row in known {
            let name: String = try row.get("name")
            let id: ProviderID = try row.get("id")
            let holder: String = try row.get("cell")
            guard name == host.name.text else {
                throw EventRefusal(
                    description: "host \(host.name) claims the id of host \(name) in cell \(holder): \(id)")
            }
            if holder != cell.description, try row.get("is_up", as: Bool.self) {
                throw EventRefusal(description: "host \(name) is up in cell \(holder)")
            }
            if id != host.id { statements += Self.replaceProvider(id, with: host) }
        }
        _ = try await transaction.pipeline(statements + Self.write(host))
    }

    /// A host that was set up anew: its servers' places go over to its new provider. Schedulers that chose the old one
    /// lose their claim and choose again.
    private static func replaceProvider(_ old: ProviderID, with host: HostRecord) -> [Statement] {
        let parked = "\(host.name) \(old)"
        return [
            "select 1 from placement.providers where id = \(old) for update",
            "update placement.providers set name = \(parked) where id = \(old)",
            """
            insert into placement.providers (id, name, cell, generation)
            select \(host.id), \(host.name.text), cell, generation + 1 from placement.providers where id = \(old)
            """,
            "update placement.inventories set provider_id = \(host.id) where provider_id = \(old)",
            "update placement.allocations set provider_id = \(host.id) where provider_id = \(old)",
            "delete from placement.providers where id = \(old)",
        ]
    }

    private static func write(_ host: HostRecord) -> [Statement] {
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
        return statements
    }
}
