package import CellProtocol
package import CloudModel
import FoundationEssentials
import PostgresClient
import ServerLifecycle

extension PostgresRootStore: CellRegistry {
    package func cells(after marker: CellPath?, limit: Int) async throws -> [CellRecord] {
        try await records(where: "c.path > \(marker?.description ?? "")", limit: limit)
    }

    package func cell(_ path: CellPath) async throws -> CellRecord? {
        try await records(where: "c.path = \(path.description)", limit: 1).first
    }

    package func order(_ order: PlacementOrder, of cell: CellPath) async throws -> CellRecord? {
        try await setOrder(
            """
            update directory.cells set is_enabled = \(order.isOpen), placement = \(order.state.rawValue),
                placement_reason = \(order.reason), placement_since = \(order.since)
            where path = \(cell.description)
            """)
        return try await self.cell(cell)
    }

    package func retire(_ path: CellPath) async throws -> CellRetirement {
        try await pool.transaction { transaction in
            _ = try await transaction.query(
                "select pg_advisory_xact_lock(hashtextextended(\(Self.placementGate), 0))")
            let known = try await transaction.query(
                "select 1 from directory.cells where path = \(path.description) for update")
            guard !known.isEmpty else { return .notFound }
            let children: Int =
                try await transaction.query(
                    "select count(*) from directory.cells where starts_with(path, \(path.below))"
                ).scalar() ?? 0
            guard children == 0 else { return .hasChildren(children) }
            let count: Int = try await transaction.query(Self.remaining(in: path)).scalar() ?? 0
            guard count == 0 else { return .occupied(count) }
            _ = try await transaction.pipeline([
                // Claims that no server stands behind any more.
                """
                delete from placement.allocations a using placement.providers p
                where p.id = a.provider_id and p.cell = \(path.description)
                """,
                "delete from outbox.commands where cell = \(path.description)",
                "delete from directory.cells where path = \(path.description)",
                Self.nudge(.cells),
            ])
            return .removed
        }
    }

    package func hosts(of cell: CellPath?, after marker: HostName?, limit: Int) async throws -> [HostUsage] {
        try await hosts(
            where: """
                h.name > \(marker?.text ?? "")
                and (\(cell?.description)::text is null or h.cell = \(cell?.description)::text)
                """,
            limit: limit)
    }

    // MARK: Cells

    /// A cell of which rows were lost counts as occupied until they are there again.
    private static func remaining(in path: CellPath) -> Statement {
        """
        select (select count(*) from directory.instances i where i.cell = \(path.description) and i.deleted_at is null)
            + (select count(*) from scheduler.build_requests b join directory.instances i on i.id = b.instance_id
                where b.cell = \(path.description) and i.cell is null and i.deleted_at is null)
            + (select count(*) from directory.gaps g where g.cell in (\(path.description), '/'))
        """
    }

    private func records(where condition: Statement, limit: Int) async throws -> [CellRecord] {
        let rows = try await pool.query(
            """
            select c.path, c.is_enabled, c.placement, c.placement_reason, c.placement_since, c.health, c.reason,
                c.since, (select min(d.path) from directory.cells d
                    where d.health = 'down' and starts_with(c.path, d.path || '/')) as cut_at,
                nullif(c.heartbeat, 'null'::jsonb) as heartbeat, c.last_sequence, h.*, s.*, b.coming,
                coalesce(v.versions, '{}'::jsonb) as versions, coalesce(r.resources, '{}'::jsonb) as resources
            from (select * from directory.cells c where \(fragment: condition) order by c.path limit \(limit)) c,
            lateral (select array(select d.path from directory.cells d
                where d.path = c.path or starts_with(d.path, c.path || '/')) as paths) t,
            lateral (select count(*) as hosts, count(*) filter (where h.is_up) as hosts_up,
                    count(*) filter (where h.is_enabled and h.placement = 'enabled') as hosts_open
                from directory.hosts h where h.cell = any(t.paths)) h,
            lateral (select count(*) as servers, count(*) filter (where i.vm_state = 'building') as building,
                    count(*) filter (where i.task_state = 'deleting') as deleting,
                    count(distinct i.project_id) as projects
                from directory.instances i where i.cell = any(t.paths) and i.deleted_at is null) s,
            lateral (select count(*) as coming from scheduler.build_requests b
                join directory.instances i on i.id = b.instance_id
                where b.cell = any(t.paths) and i.cell is null and i.deleted_at is null) b,
            lateral (select jsonb_object_agg(x.version, x.count) as versions from (
                select h.record->'inventory'->>'agentVersion' as version, count(*) as count
                from directory.hosts h where h.cell = any(t.paths) group by 1) x) v,
            lateral (select jsonb_object_agg(x.class, jsonb_build_array(x.total, x.usable, x.used)) as resources from (
                select n.class, sum(n.total) as total, sum(n.used) as used,
                    sum(floor((n.total - n.reserved) * n.allocation_ratio)) as usable
                from placement.providers p join placement.inventories n on n.provider_id = p.id
                where p.cell = any(t.paths) group by 1) x) r
            order by c.path
            """)
        return try rows.map(Self.record)
    }

    private static func record(_ row: Row) throws -> CellRecord {
        let since: Date = try row.get("since")
        let state = PlacementOrder.State(rawValue: try row.get("placement")) ?? .disabled
        let isEnabled: Bool = try row.get("is_enabled")
        var record = CellRecord(
            path: try cell(row.get("path")),
            order: PlacementOrder(
                !isEnabled && state == .enabled ? .disabled : state, reason: try row.get("placement_reason"),
                since: try row.get("placement_since") ?? since),
            health: CellStatus.Health(rawValue: try row.get("health")) ?? .down, reason: try row.get("reason"),
            since: since,
            heartbeat: try row.isNull("heartbeat") ? nil : try row.document("heartbeat", as: CellHeartbeat.self),
            lastSequence: try row.get("last_sequence"))
        let cutAt: String? = try row.get("cut_at")
        if let cutAt {
            record.isCutOff = true
            record.health = .down
            record.reason = "cell \(cutAt), through which it is reached, is down"
        }
        record.hosts = try row.get("hosts")
        record.hostsUp = try row.get("hosts_up")
        record.hostsOpen = try row.get("hosts_open")
        record.agentVersions = try row.json("versions")
        let resources: [String: [Double]] = try row.json("resources")
        record.vcpus = resource(resources["VCPU"])
        record.memoryMiB = resource(resources["MEMORY_MB"])
        record.diskGiB = resource(resources["DISK_GB"])
        let coming: Int = try row.get("coming")
        record.servers = try row.get("servers") + coming
        record.building = try row.get("building") + coming
        record.deleting = try row.get("deleting")
        record.projects = try row.get("projects")
        return record
    }

    private static func resource(_ numbers: [Double]?) -> CellRecord.Resource {
        guard let numbers, numbers.count == 3 else { return CellRecord.Resource() }
        return CellRecord.Resource(total: Int(numbers[0]), usable: Int(numbers[1]), used: Int(numbers[2]))
    }

    // MARK: Servers

    package func locate(_ id: ServerID) async throws -> ServerLocation? {
        let answers = try await pool.pipelineTransaction([
            """
            select i.name, i.project_id, i.status, i.vm_state, i.task_state, i.created_at, i.updated_at, i.deleted_at,
                coalesce(i.cell, b.cell) as cell, coalesce(i.host, b.host) as host, b.state, b.attempts,
                b.excluded_hosts, b.build->'instance'->'fault'->>'message' as fault
            from directory.instances i left join scheduler.build_requests b on b.instance_id = i.id where i.id = \(id)
            """,
            """
            select epoch, cell, host, placed_at, failure, failed_at from directory.placements
            where instance_id = \(id) order by epoch
            """,
        ])
        guard answers.count == 2, let row = answers[0].first else { return nil }
        let state: String? = try row.get("state")
        let cell: String? = try row.get("cell")
        let host: String? = try row.get("host")
        let request = try state.map { state in
            ServerLocation.Request(
                state: state, attempts: try row.get("attempts"),
                excludedHosts: (try row.get("excluded_hosts") as [String]).map { HostName($0) },
                fault: try row.get("fault"))
        }
        return ServerLocation(
            id: id, name: try row.get("name"), projectID: ProjectID(try row.get("project_id")),
            status: try row.get("status"), vmState: try row.get("vm_state"), taskState: try row.get("task_state"),
            cell: try cell.map { try Self.cell($0) }, host: host.map { HostName($0) },
            createdAt: try row.get("created_at"), updatedAt: try row.get("updated_at"),
            deletedAt: try row.get("deleted_at"), request: request,
            placements: try answers[1].map { row in
                ServerLocation.Placement(
                    epoch: try row.get("epoch"), cell: try Self.cell(row.get("cell")),
                    host: HostName(try row.get("host")), placedAt: try row.get("placed_at"),
                    failure: try row.get("failure"), failedAt: try row.get("failed_at"))
            })
    }
}
