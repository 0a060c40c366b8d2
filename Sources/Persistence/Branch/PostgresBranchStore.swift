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
        _ event: CellEvent, of origin: CellPath, now: Date, in transaction: PostgresTransaction
    ) async throws {
        switch event {
        case .instanceChanged(let summary):
            if let holder = try await holder(of: summary.id, in: transaction), holder != origin {
                // It lives elsewhere now. What is to become of this one is the root's to say.
                _ = try await transaction.pipeline(try tell(event, origin: origin))
            } else {
                _ = try await transaction.pipeline(try take([(summary, origin)]))
            }
        case .buildFailed(let failure):
            _ = try await transaction.pipeline(
                [
                    "delete from directory.routes where instance_id = \(failure.id) and cell = \(origin.description)",
                    "select set_config('cellwright.prunes', 'on', true)",
                    """
                    delete from directory.instances where id = \(failure.id) and cell = \(origin.description)
                        and launched_at is null and deleted_at is null
                    """,
                    "select set_config('cellwright.prunes', 'off', true)",
                ] + tell(event, origin: origin))
        case .instanceDeleted(let deletion):
            _ = try await transaction.pipeline(
                [
                    "delete from directory.routes where instance_id = \(deletion.id) and cell = \(origin.description)",
                    """
                    update directory.instances set deleted_at = \(deletion.deletedAt),
                        terminated_at = \(deletion.deletedAt), updated_at = \(deletion.deletedAt), status = 'DELETED',
                        vm_state = 'deleted', task_state = null, power_state = 0,
                        version = greatest(version, \(deletion.version))
                    where id = \(deletion.id) and cell = \(origin.description) and deleted_at is null
                    """,
                ] + tell(event, origin: origin))
        case .hostChanged(let host):
            try await apply([host], of: origin, in: transaction)
        case .cellChanged, .cellRemoved: break
        }
    }

    package func apply(
        _ hosts: [HostRecord], of origin: CellPath, in transaction: PostgresTransaction
    ) async throws {
        if let stray = hosts.first(where: { $0.cell != origin }) {
            throw EventRefusal(description: "host \(stray.name) is said to be in cell \(stray.cell)")
        }
        _ = try await transaction.pipeline(
            try hosts.flatMap { [Self.upsert($0)] + (try tell(.hostChanged($0), origin: origin)) })
    }

    private func holder(of id: ServerID, in transaction: PostgresTransaction) async throws -> CellPath? {
        let rows = try await transaction.query(
            """
            select r.cell as route, i.cell from (select \(id)::uuid as id) s
            left join directory.routes r on r.instance_id = s.id
            left join directory.instances i on i.id = s.id and i.deleted_at is null
            """)
        guard let row = rows.first else { return nil }
        let holder: String? = try row.get("route") ?? row.get("cell")
        return try holder.map { try Self.cell($0) }
    }

    /// The name is the host's in the whole cloud; who has it is the root's to decide, which knows all of them.
    private static func upsert(_ host: HostRecord) -> Statement {
        """
        insert into directory.hosts (name, id, cell, availability_zone, is_enabled, is_up, record)
        values (\(host.name.text), \(host.id), \(host.cell.description), \(host.availabilityZone),
            \(host.isEnabled), \(host.isUp), \(PostgresJSON(host)))
        on conflict (name) do update set id = excluded.id, cell = excluded.cell,
            availability_zone = excluded.availability_zone, is_enabled = excluded.is_enabled,
            is_up = excluded.is_up, record = excluded.record
        """
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

    package func tell(_ event: CellEvent) throws -> [Statement] { try tell(event, origin: nil) }

    private func tell(_ event: CellEvent, origin: CellPath?) throws -> [Statement] {
        [
            """
            insert into outbox.events (event, origin)
            values (\(try CellRows.json(event))::jsonb, \(origin?.description))
            """,
            Self.notify(.outbox),
        ]
    }

    // MARK: As a child

    package func pulse() async throws(CellStoreError) -> CellPulse {
        try await attempt {
            let rows = try await pool.query(
                """
                with dead as (select path from directory.cells where health = 'down'),
                gone as (
                    select c.path from directory.cells c
                    where exists (select from dead d where d.path = c.path or starts_with(c.path, d.path || '/'))
                )
                select (select newest from outbox.position) as newest,
                    (select count(*) from directory.cells) as cells, (select count(*) from gone) as cells_down,
                    (select coalesce(sum((c.heartbeat ->> 'conductorsUp')::bigint), 0)::bigint from directory.cells c
                        where c.heartbeat ->> 'cells' is null and c.path not in (select path from gone)) as conductors,
                    count(*) filter (where h.is_up and h.cell not in (select path from gone)) as up, count(*) as hosts
                from directory.hosts h
                """)
            guard let row = rows.first else { throw StoredValueError(what: "pulse", value: "none") }
            return CellPulse(
                newestSequence: try row.get("newest"), conductorsUp: try row.get("conductors"),
                hostsUp: try row.get("up"), hosts: try row.get("hosts"), cells: try row.get("cells"),
                cellsDown: try row.get("cells_down"))
        }
    }
}
