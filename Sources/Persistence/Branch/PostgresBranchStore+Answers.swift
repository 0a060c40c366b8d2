package import CellProtocol
package import CloudModel
package import FoundationEssentials
import PostgresClient
package import ServerLifecycle

extension PostgresBranchStore {
    package func note(_ servers: [ServerID], in leaf: CellPath) async throws {
        guard !servers.isEmpty else { return }
        // What was heard of them in this leaf already is as good as a route, and the next event takes that away.
        try await pool.execute(
            """
            insert into directory.routes (instance_id, cell)
            select s.id, \(leaf.description) from unnest(\(servers)) as s (id)
            where not exists (select from directory.instances i where i.id = s.id and i.cell = \(leaf.description))
            order by s.id on conflict (instance_id) do update set cell = excluded.cell, noted_at = excluded.noted_at
            """)
    }

    package func places(of servers: [ServerID]) async throws -> BranchPlaces {
        let rows = try await pool.query(
            """
            select s.id, coalesce(r.cell, i.cell) as cell, exists (select from directory.gaps) as is_incomplete
            from unnest(\(servers)) as s (id) left join directory.routes r on r.instance_id = s.id
            left join directory.instances i on i.id = s.id and i.deleted_at is null
            """)
        var places = BranchPlaces(leaves: [:], isIncomplete: false)
        for row in rows {
            places.isIncomplete = try row.get("is_incomplete")
            let cell: String? = try row.get("cell")
            if let cell { places.leaves[try row.get("id")] = try Self.cell(cell) }
        }
        return places
    }

    package func leaves(of hosts: [HostName]) async throws -> [HostName: CellPath] {
        let rows = try await pool.query(
            "select name, cell from directory.hosts where name = any(\(hosts.map(\.text)))")
        var leaves: [HostName: CellPath] = [:]
        for row in rows { leaves[HostName(try row.get("name"))] = try Self.cell(row.get("cell")) }
        return leaves
    }

    package func hosts() async throws -> [HostRecord] {
        try await pool.query("select record from directory.hosts order by name").map { try $0.document("record") }
    }

    package func standings() async throws -> [CellStanding] {
        let rows = try await pool.query(
            """
            select path, health, reason, since, nullif(heartbeat, 'null'::jsonb) as heartbeat from directory.cells
            order by path
            """)
        return try rows.map(DirectorySQL.standing)
    }

    package func inventory(after id: ServerID?, limit: Int) async throws -> InventoryRequest.Reply {
        // One statement, so that the number, the gaps and the rows are of one moment.
        let rows = try await pool.query(
            """
            select p.newest, g.*, i.* from outbox.position p, (select \(raw: DirectorySQL.gaps)) g
            left join lateral (
                select i.*, null::jsonb as build from directory.instances i
                where (\(id)::uuid is null or i.id > \(id)::uuid)
                    and not (vm_state = 'error' and launched_at is null)
                order by i.id limit \(limit)
            ) i on true order by i.id
            """)
        guard let first = rows.first else { throw StoredValueError(what: "outbox position", value: "none") }
        try Self.checkGaps(first)
        var reply = InventoryRequest.Reply(servers: [], sequence: try first.get("newest"), isLast: false)
        var origins: [CellPath] = []
        for row in rows {
            guard try !row.isNull("id") else { continue }
            reply.servers.append(try DirectorySQL.summary(row))
            origins.append(try Self.cell(row.get("cell")))
        }
        reply.isLast = reply.servers.count < limit
        reply.origins = origins
        return reply
    }

    package func audit() async throws -> DirectoryAudit {
        let rows = try await pool.query(
            """
            select p.newest as sequence, g.gaps, i.servers, i.digest
            from outbox.position p, (select \(raw: DirectorySQL.gaps)) g, (
                select count(*) as servers, \(raw: DirectorySQL.digest) as digest from directory.instances i
                where \(raw: DirectorySQL.counts)
            ) i
            """)
        guard let row = rows.first else { throw StoredValueError(what: "outbox position", value: "none") }
        try Self.checkGaps(row)
        return try DirectorySQL.audit(row)
    }

    private static func checkGaps(_ row: Row) throws {
        let gaps: [String] = try row.get("gaps")
        if !gaps.isEmpty { throw IncompleteDirectory(cells: try gaps.map { try cell($0) }) }
    }

    package func pruneServers(deletedBefore date: Date, limit: Int) async throws -> Int {
        let answers = try await pool.pipelineTransaction([
            "select set_config('cellwright.prunes', 'on', true)",
            """
            delete from directory.instances where id in (
                select id from directory.instances where deleted_at < \(date) order by deleted_at limit \(limit))
            """,
        ])
        return answers.last?.affected ?? 0
    }
}
