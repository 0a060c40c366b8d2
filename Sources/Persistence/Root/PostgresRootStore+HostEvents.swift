package import CloudModel
import FoundationEssentials
import Primitives
import ServerLifecycle
package import PostgresClient

extension PostgresRootStore {
    /// Hosts joined or changed, in this order, in a few statements however many. A host's provider is its own for good,
    /// its name its cell's as long as the host is up there.
    package func apply(
        _ hosts: [HostRecord], of cell: CellPath, in transaction: PostgresTransaction
    ) async throws {
        // Of several words about one host the last counts.
        var newest: [HostName: HostRecord] = [:]
        var names: [ProviderID: HostName] = [:]
        for host in hosts {
            guard host.cell == cell else {
                throw EventRefusal(description: "host \(host.name) is said to be in cell \(host.cell)")
            }
            if let other = names[host.id], other != host.name { throw Self.refusal(of: host, holder: other, in: cell) }
            names[host.id] = host.name
            newest[host.name] = host
        }
        // Whoever locks several providers does it by id.
        let records = newest.values.sorted { $0.id < $1.id }
        let known = try await transaction.query(
            """
            select name, id, cell, is_up from directory.hosts
            where name = any(\(records.map(\.name.text))) or id = any(\(records.map(\.id))) order by name for update
            """)
        var statements: [Statement] = []
        for row in known {
            let name = HostName(try row.get("name"))
            let id: ProviderID = try row.get("id")
            let holder = try Self.cell(row.get("cell"))
            if let claimant = names[id], claimant != name, let host = newest[claimant] {
                throw Self.refusal(of: host, holder: name, in: holder)
            }
            guard let host = newest[name] else { continue }
            if holder != cell, try row.get("is_up", as: Bool.self) {
                throw EventRefusal(description: "host \(name) is up in cell \(holder)")
            }
            if id != host.id { statements += Self.replaceProvider(id, with: host) }
        }
        _ = try await transaction.pipeline(statements + Self.write(records))
    }

    private static func refusal(of host: HostRecord, holder: HostName, in cell: CellPath) -> EventRefusal {
        EventRefusal(description: "host \(host.name) claims the id of host \(holder) in cell \(cell): \(host.id)")
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

    private static func write(_ hosts: [HostRecord]) -> [Statement] {
        let names = hosts.map(\.name.text)
        let cells = hosts.map(\.cell.description)
        let ids = hosts.map(\.id)
        let records = hosts.map { CellRows.json($0) }
        return [
            """
            insert into directory.hosts (name, id, cell, availability_zone, is_enabled, is_up, record)
            select n, i, c, z, e = 1, u = 1, r::jsonb
            from unnest(\(names), \(ids), \(cells), \(hosts.map(\.availabilityZone)),
                \(hosts.map { $0.isEnabled ? 1 : 0 }), \(hosts.map { $0.isUp ? 1 : 0 }), \(records))
                as h (n, i, c, z, e, u, r)
            on conflict (name) do update set id = excluded.id, cell = excluded.cell,
                availability_zone = excluded.availability_zone, is_enabled = excluded.is_enabled,
                is_up = excluded.is_up, record = excluded.record
            """,
            """
            insert into placement.providers (id, name, cell)
            select i, n, c from unnest(\(ids), \(names), \(cells)) as h (i, n, c)
            on conflict (name) do update set cell = excluded.cell, generation = placement.providers.generation + 1
            """,
            inventories(hosts), Self.nudge(.buildRequests),
        ]
    }

    /// A row a host and class.
    private static func inventories(_ hosts: [HostRecord]) -> Statement {
        var names: [String] = []
        var classes: [String] = []
        var totals: [Int] = []
        var reserved: [Int] = []
        var ratios: [String] = []
        for host in hosts {
            let inventory = host.inventory
            names += Array(repeating: host.name.text, count: 3)
            classes += ["VCPU", "MEMORY_MB", "DISK_GB"]
            totals += [inventory.vcpus, inventory.memoryMiB, inventory.diskGiB]
            reserved += [0, min(inventory.reservedMemoryMiB, inventory.memoryMiB), 0]
            ratios += [
                inventory.cpuAllocationRatio, inventory.memoryAllocationRatio, inventory.diskAllocationRatio,
            ].map { "\($0)" }
        }
        return """
            insert into placement.inventories (provider_id, class, total, reserved, allocation_ratio)
            select p.id, h.k, h.t, h.r, h.a::double precision
            from unnest(\(names), \(classes), \(totals), \(reserved), \(ratios)) as h (n, k, t, r, a)
            join placement.providers p on p.name = h.n
            on conflict (provider_id, class) do update set total = excluded.total, reserved = excluded.reserved,
                allocation_ratio = excluded.allocation_ratio
            """
    }
}
