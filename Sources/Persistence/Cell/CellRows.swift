import CellProtocol
import CloudModel
import FoundationEssentials
import PostgresClient
import Primitives
import SagaEngine
import ServerLifecycle

/// Rows of a cell's database as the domain's values, and back.
enum CellRows {
    static let sagaColumns = """
        s.id, s.name, s.version, s.instance_id, s.host, s.epoch, s.state, s.input, s.created_at, s.ended_at, s.message,
        s.lease_owner, nullif(s.lease_until, '-infinity') as lease_until, s.lease_epoch,
        array(select l.entry::text from saga.log l where l.saga_id = s.id order by l.number) as entries,
        array(select (extract(epoch from l.at) * 1000000)::bigint from saga.log l
            where l.saga_id = s.id order by l.number) as times
        """

    static func server(_ row: Row) throws(PostgresError) -> StoredServer {
        StoredServer(instance: try row.document("document"), build: try row.json("build"))
    }

    static func saga(_ row: Row) throws -> SagaRecord {
        var record = try head(of: row)
        try read(row, into: &record)
        return record
    }

    /// Without its input and its log.
    static func head(of row: Row) throws -> SagaRecord {
        var record = SagaRecord(
            id: try row.get("id"), name: try row.get("name"), version: try row.get("version"),
            serverID: try row.get("instance_id"), host: HostName(try row.get("host")), epoch: try row.get("epoch"),
            input: SagaInput(requestID: "-"), createdAt: try row.get("created_at"))
        let state: String = try row.get("state")
        guard let known = SagaRecord.State(rawValue: state) else {
            throw StoredValueError(what: "saga state", value: state)
        }
        record.state = known
        record.endedAt = try row.get("ended_at")
        record.message = try row.get("message")
        record.leaseEpoch = try row.get("lease_epoch")
        if let owner = try row.get("lease_owner", as: String?.self) {
            record.holder = .init(owner: owner, until: try row.get("lease_until", as: Date?.self) ?? .distantPast)
        }
        return record
    }

    /// Its input and its log, which newer programs may write in another way.
    static func read(_ row: Row, into record: inout SagaRecord) throws {
        record.input = try row.json("input")
        let entries: [String] = try row.get("entries")
        let times: [Int64] = try row.get("times")
        let decoder = JSONDecoder()
        record.log = try zip(entries, times).map { entry, time in
            LoggedEntry(try decoder.decode(SagaLogEntry.self, from: Data(entry.utf8)), at: Date(microseconds: time))
        }
    }

    static let hostColumns = """
        name, id, availability_zone, is_enabled, disabled_reason, is_up, last_seen_at, inventory, created_at, updated_at
        """

    static func host(_ row: Row, cell: CellPath) throws(PostgresError) -> HostRecord {
        var record = HostRecord(
            name: HostName(try row.get("name")), id: try row.get("id"), cell: cell,
            availabilityZone: try row.get("availability_zone"), inventory: try row.json("inventory"),
            seenAt: try row.get("last_seen_at"))
        record.isEnabled = try row.get("is_enabled")
        record.disabledReason = try row.get("disabled_reason")
        record.isUp = try row.get("is_up")
        record.createdAt = try row.get("created_at")
        record.updatedAt = try row.get("updated_at")
        return record
    }

    static func put(_ server: StoredServer) -> Statement {
        let instance = server.instance
        return """
            insert into cell.instances as i (id, project_id, host, vm_state, task_state, power_state, version, epoch,
                is_deleted, updated_at, document, build)
            values (\(instance.id), \(instance.projectID.text), \(instance.host?.text), \(instance.state.vm.rawValue),
                \(instance.state.task?.rawValue), \(Int32(instance.state.power.rawValue)), \(instance.version),
                \(Int32(instance.epoch)), \(server.isDeleted), \(instance.updatedAt), \(PostgresDocument(instance)),
                \(PostgresJSON(server.build)))
            on conflict (id) do update set host = excluded.host, vm_state = excluded.vm_state,
                task_state = excluded.task_state, power_state = excluded.power_state, version = excluded.version,
                epoch = excluded.epoch, is_deleted = excluded.is_deleted, updated_at = excluded.updated_at,
                document = excluded.document, build = excluded.build
            """
    }

    static func put(_ host: HostRecord) -> Statement {
        """
        insert into cell.hosts (\(raw: hostColumns))
        values (\(host.name.text), \(host.id), \(host.availabilityZone), \(host.isEnabled), \(host.disabledReason),
            \(host.isUp), \(host.lastSeenAt), \(PostgresJSON(host.inventory)), \(host.createdAt), \(host.updatedAt))
        on conflict (name) do update set id = excluded.id, availability_zone = excluded.availability_zone,
            is_enabled = excluded.is_enabled, disabled_reason = excluded.disabled_reason, is_up = excluded.is_up,
            last_seen_at = excluded.last_seen_at, inventory = excluded.inventory, updated_at = excluded.updated_at
        """
    }

    static func insert(_ saga: SagaRecord) -> Statement {
        """
        insert into saga.sagas (id, name, version, instance_id, host, epoch, state, input, created_at)
        values (\(saga.id), \(saga.name), \(Int32(saga.version)), \(saga.serverID), \(saga.host.text),
            \(Int32(saga.epoch)), \(saga.state.rawValue), \(PostgresJSON(saga.input)), \(saga.createdAt))
        """
    }

    static func insert(_ action: CellActionRecord) -> Statement {
        """
        insert into cell.instance_actions (instance_id, action, request_id, idempotency_key, user_id, project_id,
            started_at, finished_at, message, saga_id)
        values (\(action.serverID), \(action.action), \(action.requestID), \(action.idempotencyKey), \(action.userID),
            \(action.projectID), \(action.startedAt), \(action.finishedAt), \(action.message), \(action.sagaID))
        on conflict (instance_id, idempotency_key) do nothing
        """
    }

    static func action(_ row: Row) throws(PostgresError) -> CellActionRecord {
        CellActionRecord(
            serverID: try row.get("instance_id"), action: try row.get("action"), requestID: try row.get("request_id"),
            idempotencyKey: try row.get("idempotency_key"), userID: try row.get("user_id"),
            projectID: try row.get("project_id"), startedAt: try row.get("started_at"),
            finishedAt: try row.get("finished_at"), message: try row.get("message"), sagaID: try row.get("saga_id"))
    }

    /// Events as they wait for their numbers.
    static func append(_ events: [CellEvent]) throws -> [Statement] {
        guard !events.isEmpty else { return [] }
        let texts = try events.map { try json($0) }
        // In the order of the array: identity values are taken row by row.
        return [
            """
            insert into outbox.events (event)
            select e::jsonb from unnest(\(texts)) with ordinality as t (e, n) order by n
            """,
            PostgresCellStore.notify(.outbox),
        ]
    }

    static func json(_ event: CellEvent) throws -> String { String(decoding: try event.text(), as: UTF8.self) }

    static func json(_ host: HostRecord) -> String { String(decoding: host.json, as: UTF8.self) }

    static func json(_ value: some Encodable) throws -> String {
        String(decoding: try JSONEncoder().encode(value), as: UTF8.self)
    }
}
