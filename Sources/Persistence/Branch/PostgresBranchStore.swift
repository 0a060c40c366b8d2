package import CellProtocol
package import CloudModel
package import FoundationEssentials
package import PostgresClient
package import ServerLifecycle

/// A branch cell's database. Its schema is ``BranchSchema``; bring it up to date before use.
package struct PostgresBranchStore: PostgresParentStore, PostgresChildStore, BranchStore {
    package static let origin = "origin"

    package let pool: PostgresPool
    package let cell: CellPath

    /// - Parameter cell: the branch whose database it is.
    package init(pool: PostgresPool, cell: CellPath) {
        self.pool = pool
        self.cell = cell
    }

    // MARK: As a parent

    package func apply(
        _ failure: BuildFailure, of leaf: CellPath, now: Date, in transaction: PostgresTransaction
    ) async throws {
        _ = try await transaction.pipeline(
            [
                "delete from directory.routes where instance_id = \(failure.id) and cell = \(leaf.description)",
                "select set_config('cellwright.prunes', 'on', true)",
                """
                delete from directory.instances where id = \(failure.id) and cell = \(leaf.description)
                    and launched_at is null and deleted_at is null
                """,
                "select set_config('cellwright.prunes', 'off', true)",
            ] + tell([.buildFailed(failure)], origin: leaf))
    }

    package func apply(
        _ deletion: InstanceDeletion, of leaf: CellPath, now: Date, in transaction: PostgresTransaction
    ) async throws {
        _ = try await transaction.pipeline(
            [
                "delete from directory.routes where instance_id = \(deletion.id) and cell = \(leaf.description)",
                """
                update directory.instances set deleted_at = \(deletion.deletedAt),
                    terminated_at = \(deletion.deletedAt), updated_at = \(deletion.deletedAt), status = 'DELETED',
                    vm_state = 'deleted', task_state = null, power_state = 0,
                    version = greatest(version, \(deletion.version))
                where id = \(deletion.id) and cell = \(leaf.description) and deleted_at is null
                """,
            ] + tell([.instanceDeleted(deletion)], origin: leaf))
    }

    package func apply(
        _ hosts: [HostRecord], of origin: CellPath, in transaction: PostgresTransaction
    ) async throws {
        if let stray = hosts.first(where: { $0.cell != origin }) {
            throw EventRefusal(description: "host \(stray.name) is said to be in cell \(stray.cell)")
        }
        _ = try await transaction.pipeline(
            try [Self.write(hosts)] + tell(hosts.map { .hostChanged($0) }, origin: origin))
    }

    /// The name is the host's in the whole cloud; who has it is the root's to decide, which knows all of them.
    private static func write(_ hosts: [HostRecord]) -> Statement {
        // Of several words about one host the last counts.
        let newest = Dictionary(hosts.map { ($0.name, $0) }) { _, last in last }.values.sorted { $0.name < $1.name }
        let records = newest.map { CellRows.json($0) }
        return """
            insert into directory.hosts (name, id, cell, availability_zone, is_enabled, is_up, record)
            select n, i, c, z, e = 1, u = 1, r::jsonb
            from unnest(\(newest.map(\.name.text)), \(newest.map(\.id)), \(newest.map(\.cell.description)),
                \(newest.map(\.availabilityZone)), \(newest.map { $0.isEnabled ? 1 : 0 }),
                \(newest.map { $0.isUp ? 1 : 0 }), \(records)) as h (n, i, c, z, e, u, r)
            on conflict (name) do update set id = excluded.id, cell = excluded.cell,
                availability_zone = excluded.availability_zone, is_enabled = excluded.is_enabled,
                is_up = excluded.is_up, record = excluded.record
            """
    }

    package func apply(
        _ servers: [(summary: InstanceSummary, leaf: CellPath)], now: Date, in transaction: PostgresTransaction
    ) async throws {
        var holders = try await holders(of: servers.map(\.summary.id), in: transaction)
        var own: [(summary: InstanceSummary, leaf: CellPath)] = []
        var statements: [Statement] = []
        for (summary, leaf) in servers {
            let holder = holders[summary.id] ?? leaf
            holders[summary.id] = holder
            if holder == leaf {
                own.append((summary, leaf))
            } else {
                // It lives elsewhere now. What is to become of this one is the root's to say.
                statements += try tell([.instanceChanged(summary)], origin: leaf)
            }
        }
        _ = try await transaction.pipeline(try take(own) + statements)
    }

    /// In which leaves servers are that are not deleted.
    private func holders(
        of servers: [ServerID], in transaction: PostgresTransaction
    ) async throws -> [ServerID: CellPath] {
        let rows = try await transaction.query(
            """
            select s.id, coalesce(r.cell, i.cell) as cell from unnest(\(servers)) as s (id)
            left join directory.routes r on r.instance_id = s.id
            left join directory.instances i on i.id = s.id and i.deleted_at is null
            where r.cell is not null or i.cell is not null
            """)
        var holders: [ServerID: CellPath] = [:]
        for row in rows { holders[try row.get("id")] = try Self.cell(row.get("cell")) }
        return holders
    }

    package func strangers(
        in servers: [ServerID: CellPath], _ transaction: PostgresTransaction
    ) async throws -> Set<ServerID> {
        let pairs = servers.sorted { $0.key < $1.key }
        let ids: [ServerID] = try await transaction.query(
            """
            select s.id from unnest(\(pairs.map(\.key)), \(pairs.map(\.value.description))) as s (id, leaf)
            left join directory.instances i on i.id = s.id left join directory.routes r on r.instance_id = s.id
            where coalesce(r.cell, i.cell) <> s.leaf
            """
        ).column()
        return Set(ids)
    }

    /// The row and its news go together; what the directory knows already is no news.
    package func take(_ servers: [(summary: InstanceSummary, leaf: CellPath)]) throws -> [Statement] {
        let rows = try servers.map { server -> Statement in
            let event = try CellRows.json(CellEvent.instanceChanged(server.summary))
            return """
                with changed as (\(fragment: DirectorySQL.upsert(server.summary, cell: server.leaf)) returning i.id)
                insert into outbox.events (event, origin)
                select \(event)::jsonb, \(server.leaf.description) from changed
                """
        }
        guard !rows.isEmpty else { return [] }
        return rows + [
            "delete from directory.routes where instance_id = any(\(servers.map(\.summary.id)))",
            Self.notify(.outbox),
        ]
    }

    package func tell(_ events: [CellEvent]) throws -> [Statement] { try tell(events, origin: nil) }

    /// In this order.
    private func tell(_ events: [CellEvent], origin: CellPath?) throws -> [Statement] {
        guard !events.isEmpty else { return [] }
        let texts = try events.map { try CellRows.json($0) }
        return [
            """
            insert into outbox.events (event, origin)
            select e::jsonb, \(origin?.description) from unnest(\(texts)) with ordinality as t (e, n) order by n
            """,
            Self.notify(.outbox),
        ]
    }

    // MARK: As a child

    package func pulse() async throws(CellStoreError) -> CellPulse {
        try await attempt {
            // What lies below is what the children last said of it.
            let rows = try await pool.query(
                """
                with dead as (select path from directory.cells where health = 'down'),
                children as (
                    select health <> 'down' as is_up, coalesce((heartbeat ->> 'conductorsUp')::bigint, 0) as conductors,
                        coalesce((heartbeat ->> 'hostsUp')::bigint, 0) as up,
                        coalesce((heartbeat ->> 'hosts')::bigint, 0) as hosts
                    from directory.cells where bus is not null
                )
                select (select newest from outbox.position) as newest,
                    (select count(*) from directory.cells) as cells,
                    (select count(*) from directory.cells c where exists (
                        select from dead d where d.path = c.path or starts_with(c.path, d.path || '/'))) as cells_down,
                    coalesce(sum(conductors) filter (where is_up), 0)::bigint as conductors,
                    coalesce(sum(up) filter (where is_up), 0)::bigint as up, coalesce(sum(hosts), 0)::bigint as hosts
                from children
                """)
            guard let row = rows.first else { throw StoredValueError(what: "pulse", value: "none") }
            return CellPulse(
                newestSequence: try row.get("newest"), conductorsUp: try row.get("conductors"),
                hostsUp: try row.get("up"), hosts: try row.get("hosts"), cells: try row.get("cells"),
                cellsDown: try row.get("cells_down"))
        }
    }
}
