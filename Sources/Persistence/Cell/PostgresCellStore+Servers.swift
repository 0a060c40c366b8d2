package import CellProtocol
package import CloudModel
package import FoundationEssentials
import PostgresClient
package import ServerLifecycle

extension PostgresCellStore {
    package func renew(_ lease: SagaLease, _ sagas: [SagaID: Int]) async throws(CellStoreError) -> [SagaID: Bool] {
        try await attempt {
            var statements: [Statement] = [
                Self.withoutWaitingForDisk,
                """
                insert into cell.conductors (name, seen_at, until)
                values (\(lease.owner), now(), now() + \(lease.duration.timeInterval) * interval '1 second')
                on conflict (name) do update set seen_at = excluded.seen_at, until = excluded.until
                """,
            ]
            if !sagas.isEmpty {
                statements.append(
                    """
                    with mine as (
                        select s.id from saga.sagas s
                        join unnest(\(Array(sagas.keys)), \(Array(sagas.values))) as h (id, epoch)
                            on h.id = s.id and h.epoch = s.lease_epoch
                        where s.lease_owner = \(lease.owner) and s.state = 'live'
                        order by s.id for update of s
                    )
                    update saga.sagas s
                    set lease_until = now() + \(lease.duration.timeInterval) * interval '1 second'
                    from mine where s.id = mine.id
                    returning s.id, coalesce((select h.is_up from cell.hosts h where h.name = s.host), false) as is_up
                    """)
            }
            let answers = try await pool.pipelineTransaction(statements)
            guard !sagas.isEmpty, let rows = answers.last else { return [:] }
            var kept: [SagaID: Bool] = [:]
            for row in rows { kept[try row.get("id")] = try row.get("is_up", as: Bool.self) }
            return kept
        }
    }

    package func release(owner: String) async throws(CellStoreError) {
        try await attempt {
            _ = try await pool.pipelineTransaction([
                "delete from cell.conductors where name = \(owner)",
                """
                with mine as (
                    select id from saga.sagas where lease_owner = \(owner) and state = 'live' order by id for update
                )
                update saga.sagas s set lease_owner = null from mine where s.id = mine.id
                """,
                Self.notify(.sagas),
            ])
        }
    }

    /// As many rows as a page has unless its user asks for more.
    private static let briefRows = 100

    package func servers(_ ids: [ServerID]) async throws(CellStoreError) -> [LocatedServer] {
        try await attempt {
            let statement: Statement = """
                select i.document, h.name is not null as has_host,
                    h.inventory ->> 'hypervisorHostname' as hypervisor_hostname, h.is_up, h.is_enabled
                from cell.instances i left join cell.hosts h on h.name = i.host
                where \(fragment: .column("i.id", isIn: ids)) and not i.is_deleted
                """
            let rows = try await pool.query(ids.count > Self.briefRows ? statement : statement.brief)
            return try rows.map { row in
                var host: HostStanding?
                if try row.get("has_host") {
                    host = HostStanding(
                        hypervisorHostname: try row.get("hypervisor_hostname"), isUp: try row.get("is_up"),
                        isEnabled: try row.get("is_enabled"))
                }
                return LocatedServer(instance: try row.document("document"), host: host)
            }
        }
    }

    package func inventory(
        after id: ServerID?, limit: Int
    ) async throws(CellStoreError) -> (servers: [Instance], sequence: Int64) {
        try await attempt {
            // One statement, so that the number and the rows are of one moment.
            let rows = try await pool.query(
                """
                select p.newest, i.document from outbox.position p left join lateral (
                    select id, document from cell.instances
                    where (\(id)::uuid is null or id > \(id)::uuid) and not (\(raw: Self.isFailedBuild))
                    order by id limit \(limit)
                ) i on true order by i.id
                """)
            guard let first = rows.first else { throw StoredValueError(what: "outbox position", value: "none") }
            let servers = try rows.compactMap { row -> Instance? in
                try row.isNull("document") ? nil : try row.document("document")
            }
            return (servers, try first.get("newest"))
        }
    }

    package func audit() async throws(CellStoreError) -> DirectoryAudit {
        try await attempt {
            let rows = try await pool.query(
                """
                select p.newest as sequence, i.servers, i.digest from outbox.position p, (
                    select count(*) as servers, \(raw: DirectorySQL.digest) as digest from cell.instances i
                    where not is_deleted and vm_state <> 'building' and not (\(raw: Self.isFailedBuild))
                ) i
                """)
            guard let row = rows.first else { throw StoredValueError(what: "outbox position", value: "none") }
            return try DirectorySQL.audit(row)
        }
    }

    /// It never ran here; its parent has built it elsewhere or keeps it itself.
    private static let isFailedBuild = "vm_state = 'error' and document -> 'launchedAt' is null"

    package func actions(of id: ServerID, limit: Int) async throws(CellStoreError) -> [CellActionRecord] {
        try await attempt {
            let rows = try await pool.query(
                """
                select instance_id, action, request_id, idempotency_key, user_id, project_id, started_at, finished_at,
                    message, saga_id
                from cell.instance_actions where instance_id = \(id) order by id desc limit \(limit)
                """)
            return try rows.map { try CellRows.action($0) }
        }
    }

    package func sagas(_ filter: SagaFilter) async throws(CellStoreError) -> [SagaRecord] {
        let after = filter.after
        return try await sagas(
            """
            select \(raw: CellRows.sagaColumns) from saga.sagas s
            where s.state = any(\(filter.states.map(\.rawValue)))
                and (\(filter.server)::uuid is null or s.instance_id = \(filter.server)::uuid)
                and (\(filter.host?.text)::text is null or s.host = \(filter.host?.text)::text)
                and (\(filter.createdBefore)::timestamptz is null or s.created_at < \(filter.createdBefore)::timestamptz)
                and (\(after?.id)::uuid is null
                    or (s.created_at, s.id) > (\(after?.createdAt)::timestamptz, \(after?.id)::uuid))
            order by s.created_at, s.id limit \(filter.limit)
            """)
    }

    package func sagas(_ ids: [SagaID]) async throws(CellStoreError) -> [SagaRecord] {
        try await sagas("select \(raw: CellRows.sagaColumns) from saga.sagas s where s.id = any(\(ids))")
    }

    private func sagas(_ statement: Statement) async throws(CellStoreError) -> [SagaRecord] {
        try await attempt {
            try await pool.query(statement).map { row in
                var record = try CellRows.head(of: row)
                do {
                    try CellRows.read(row, into: &record)
                } catch {
                    // One that can't be read, such as a newer program's, must not hide the others.
                    record.logProblem = "\(error)"
                }
                return record
            }
        }
    }

    package func pruneServers(endedBefore date: Date, limit: Int) async throws(CellStoreError) -> Int {
        try await attempt {
            // Sagas, logs and actions go with their server.
            try await pool.execute(
                """
                delete from cell.instances where id in (
                    select i.id from cell.instances i
                    where i.updated_at < \(date) and (i.is_deleted
                        or (i.vm_state = 'error' and i.task_state is null and i.document -> 'launchedAt' is null))
                        and not exists (
                            select from saga.sagas s where s.instance_id = i.id and s.state in ('live', 'parked'))
                    order by i.updated_at limit \(limit) for update skip locked
                )
                """)
        }
    }
}
