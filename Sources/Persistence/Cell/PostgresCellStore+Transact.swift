import CellProtocol
import CloudModel
import FoundationEssentials
import PostgresClient
import Primitives
package import ServerLifecycle

extension PostgresCellStore {
    package func transact<Result: Sendable>(
        _ scope: CellScope, _ decide: @escaping @Sendable (CellSnapshot) -> CellDecision<Result>
    ) async throws(CellStoreError) -> Result {
        try await transaction { transaction in
            let snapshot = try await Self.read(scope, transaction)
            let decision = decide(snapshot)
            try await Self.write(decision.changes, snapshot, transaction)
            return decision.result
        }
    }

    package func claim<Result: Sendable>(
        _ lease: SagaLease, limit: Int, _ decide: @escaping @Sendable (CellSnapshot) -> CellDecision<Result>
    ) async throws(CellStoreError) -> Result {
        let known = ServerSaga.known
        return try await transaction { transaction in
            // Rows that someone works on are passed over, so this waits for nobody and nobody deadlocks with it.
            let rows = try await transaction.query(
                """
                with free as (
                    select s.id, s.lease_owner as former_owner, i.document, i.build
                    from saga.sagas s join cell.instances i on i.id = s.instance_id
                    where s.state = 'live' and (s.lease_owner is null or s.lease_until < now())
                        and exists (select from unnest(\(known.map(\.name)), \(known.map(\.version))) as k (name, version)
                            where k.name = s.name and k.version = s.version)
                    order by s.created_at, s.id limit \(limit)
                    for update of s, i skip locked
                )
                update saga.sagas s
                set lease_owner = \(lease.owner), lease_epoch = s.lease_epoch + 1,
                    lease_until = now() + \(lease.duration.timeInterval) * interval '1 second'
                from free where s.id = free.id
                returning \(raw: CellRows.sagaColumns), free.former_owner, free.document, free.build
                """)
            var snapshot = CellSnapshot()
            for row in rows {
                do {
                    let saga = try CellRows.saga(row)
                    if snapshot.servers[saga.serverID] == nil {
                        snapshot.servers[saga.serverID] = try CellRows.server(row)
                    }
                    snapshot.sagas[saga.id] = saga
                    snapshot.formerOwners[saga.id] = try row.get("former_owner", as: String?.self)
                } catch {
                    // One row that can't be read must not keep the others from being claimed.
                    snapshot.unreadable.append(UnreadableSaga(id: try row.get("id"), reason: "\(error)"))
                }
            }
            let decision = decide(snapshot)
            try await Self.write(decision.changes, snapshot, transaction)
            return decision.result
        }
    }

    // MARK: Reading

    /// One round trip. Each statement sees what was committed when it began, so the sagas are as they are after the
    /// servers' locks were waited for.
    private static func read(
        _ scope: CellScope, _ transaction: PostgresTransaction
    ) async throws -> CellSnapshot {
        let servers: Statement = """
            select unnest(\(scope.servers)) union select instance_id from saga.sagas where id = any(\(scope.sagas))
            """
        var statements: [Statement] = [
            """
            select document, build from cell.instances where id in (\(fragment: servers)) order by id for update
            """,
            """
            select \(raw: CellRows.sagaColumns) from saga.sagas s
            where s.id = any(\(scope.sagas)) or (s.state in ('live', 'parked') and s.instance_id in (\(fragment: servers)))
            """,
        ]
        if !scope.idempotencyKeys.isEmpty {
            statements.append(
                """
                select idempotency_key from cell.instance_actions
                where instance_id = any(\(scope.servers)) and idempotency_key = any(\(scope.idempotencyKeys))
                """)
        }
        if !scope.hosts.isEmpty {
            statements.append("select name from cell.hosts where name = any(\(scope.hosts.map(\.text)))")
        }
        var answers = try await transaction.pipeline(statements)[...]
        var snapshot = CellSnapshot()
        for row in answers.removeFirst() {
            let server = try CellRows.server(row)
            snapshot.servers[server.instance.id] = server
        }
        for row in answers.removeFirst() {
            let saga = try CellRows.saga(row)
            snapshot.sagas[saga.id] = saga
        }
        if !scope.idempotencyKeys.isEmpty {
            snapshot.knownKeys = Set(try answers.removeFirst().column(as: String.self))
        }
        if !scope.hosts.isEmpty {
            snapshot.knownHosts = Set(try answers.removeFirst().column(as: String.self).map { HostName($0) })
        }
        return snapshot
    }

    // MARK: Writing

    /// One round trip.
    private static func write(
        _ changes: CellChanges, _ snapshot: CellSnapshot, _ transaction: PostgresTransaction
    ) async throws {
        guard !changes.isEmpty else { return }
        var statements: [Statement] = []
        for (_, server) in changes.servers.sorted(by: { $0.key < $1.key }) { statements.append(CellRows.put(server)) }
        statements += changes.newSagas.map { CellRows.insert($0) }
        statements += changes.newActions.map { CellRows.insert($0) }
        var log = LogRows()
        for saga in changes.newSagas { try log.append(saga.log, to: saga.id, after: 0) }
        for (id, change) in changes.sagas.sorted(by: { $0.key < $1.key }) {
            try log.append(change.appended, to: id, after: snapshot.sagas[id]?.log.count ?? 0)
            statements += update(id, change)
        }
        if let insert = log.statement { statements.append(insert) }
        statements += try CellRows.append(changes.events)
        if changes.leavesFreeSagas { statements.append(notify(.sagas)) }
        try await transaction.pipeline(statements)
    }

    private static func update(_ id: SagaID, _ change: SagaChange) -> [Statement] {
        var statements: [Statement] = []
        switch change.ownership {
        case .unchanged: break
        case .taken(let lease):
            statements.append(
                """
                update saga.sagas set lease_owner = \(lease.owner), lease_epoch = lease_epoch + 1,
                    lease_until = clock_timestamp() + \(lease.duration.timeInterval) * interval '1 second'
                where id = \(id)
                """)
        case .released:
            statements.append("update saga.sagas set lease_owner = null where id = \(id)")
        }
        if change.isTakenUp {
            statements += [
                "update saga.sagas set state = 'live', ended_at = null, message = null where id = \(id)",
                "update cell.instance_actions set finished_at = null, message = null where saga_id = \(id)",
            ]
        }
        guard let end = change.end else { return statements }
        statements.append(
            """
            update saga.sagas set state = \(end.state.rawValue), ended_at = \(end.at), message = \(end.message),
                lease_owner = null
            where id = \(id)
            """)
        statements.append(
            """
            update cell.instance_actions set finished_at = \(end.at), message = \(end.message)
            where saga_id = \(id) and (finished_at is null or \(end.state == .abandoned))
            """)
        return statements
    }
}

extension CellChanges {
    fileprivate var leavesFreeSagas: Bool {
        !newSagas.isEmpty || sagas.values.contains { $0.ownership == .released && $0.end == nil }
    }
}

/// Lines of saga logs, for one statement.
private struct LogRows {
    private var ids: [SagaID] = []
    private var numbers: [Int] = []
    private var times: [Int64] = []
    private var entries: [String] = []

    mutating func append(_ log: [LoggedEntry], to id: SagaID, after count: Int) throws {
        for (offset, logged) in log.enumerated() {
            ids.append(id)
            numbers.append(count + offset + 1)
            times.append(logged.at.microseconds)
            entries.append(try CellRows.json(logged.entry))
        }
    }

    var statement: Statement? {
        guard !ids.isEmpty else { return nil }
        return """
            insert into saga.log (saga_id, number, at, entry)
            select i, n, to_timestamp(0) + t * interval '1 microsecond', e::jsonb
            from unnest(\(ids), \(numbers), \(times), \(entries)) as r (i, n, t, e)
            """
    }
}
