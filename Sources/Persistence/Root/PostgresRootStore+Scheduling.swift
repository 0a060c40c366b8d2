import CellProtocol
package import CloudModel
package import FoundationEssentials
package import PlacementCore
import PostgresClient
package import ServerLifecycle

extension PostgresRootStore {
    package func place(
        limit: Int, now: Date,
        plan: @Sendable ([PendingBuild], PlacementSnapshot) -> [[HostName]]
    ) async throws -> [PlacedBuild] {
        try await pool.transaction { transaction in
            let waiting = try await takeWaiting(limit: limit, in: transaction)
            guard !waiting.isEmpty else { return [] }
            let plans = plan(waiting.map(\.pending), try await picture.read(in: transaction))
            let hosts = picture.hosts(named: Set(plans.joined()))
            try await lockProviders(of: plans, in: transaction)
            var placed: [PlacedBuild] = []
            for (build, candidates) in zip(waiting, plans) {
                if let host = try await claim(candidates, for: build, among: hosts, in: transaction) {
                    placed.append(try await markPlaced(build, on: host, now: now, in: transaction))
                } else if try await putOff(build, now: now, in: transaction) {
                    continue
                } else {
                    let fault = InstanceFault(
                        message: "No valid host was found. \(build.failure ?? "There are not enough hosts available.")",
                        createdAt: now)
                    try await fail(build, fault, now: now, in: transaction)
                }
            }
            return placed
        }
    }

    package func unacknowledged(before: Date, limit: Int) async throws -> [PlacedBuild] {
        let rows = try await pool.query(
            """
            select build, cell from scheduler.build_requests
            where state = 'placed' and placed_at < \(before) order by placed_at limit \(limit)
            """)
        return try rows.map { PlacedBuild(specification: try $0.json("build"), cell: try Self.cell($0.get("cell"))) }
    }

    package func acknowledge(_ builds: [PlacedBuild]) async throws {
        guard !builds.isEmpty else { return }
        let statements = builds.flatMap { build -> [Statement] in
            let instance = build.specification.instance
            return [
                """
                update scheduler.build_requests set state = 'sent'
                where instance_id = \(instance.id) and epoch = \(instance.epoch) and state = 'placed'
                """,
                """
                update directory.instances set cell = \(build.cell.description), host = \(instance.host?.text)
                where id = \(instance.id) and cell is null and deleted_at is null
                    and exists (select 1 from scheduler.build_requests b
                        where b.instance_id = \(instance.id) and b.epoch = \(instance.epoch))
                """,
            ]
        }
        _ = try await pool.pipelineTransaction(statements + [Self.nudge(.commands)])
    }

    package func refuse(_ build: PlacedBuild, reason: String, now: Date) async throws {
        let instance = build.specification.instance
        try await pool.transaction { transaction in
            try await retry(
                instance.id, epoch: instance.epoch, failedHost: instance.host, reason: reason, now: now, in: transaction
            )
        }
    }

    package func giveBack(_ build: PlacedBuild, reason: String, now: Date) async throws {
        let instance = build.specification.instance
        let isYoung = now.timeIntervalSince(instance.createdAt) < Self.absencePatience
        try await pool.transaction { transaction in
            try await retry(
                instance.id, epoch: instance.epoch, failedHost: instance.host, reason: reason, isExcused: isYoung,
                now: now, in: transaction)
        }
    }

    // MARK: Steps inside a transaction

    /// A build request that is locked by this transaction.
    struct WaitingBuild {
        var specification: BuildSpecification
        var pending: PendingBuild
        /// Of the directory's row.
        var version: Int64
        var epoch: Int
        /// Why the last attempt failed.
        var failure: String?
    }

    /// A cell or a host that has been down for so long is not waited for (seconds).
    static let returnLimit: TimeInterval = 60
    /// How old a server may become before it fails because cells or hosts are away (seconds).
    static let absencePatience: TimeInterval = 300
    /// Before a server is looked at again that was put off (seconds); `placed_at` says when that was.
    static let pause: TimeInterval = 2

    /// An operator's word on a cell or a host waits for placements that have begun, and later ones see it.
    static let placementGate = "cellwright placement"

    private func takeWaiting(limit: Int, in transaction: PostgresTransaction) async throws -> [WaitingBuild] {
        let answers = try await transaction.pipeline([
            "select pg_advisory_xact_lock_shared(hashtextextended(\(Self.placementGate), 0))",
            """
            select b.build, b.forced_host, b.wanted_zone, b.excluded_hosts, b.epoch, i.version
            from scheduler.build_requests b join directory.instances i on i.id = b.instance_id
            where b.state = 'waiting'
                and (b.placed_at is null or b.placed_at < now() - \(Self.pause) * interval '1 second')
            order by b.created_at limit \(limit)
            for update of b skip locked
            """,
        ])
        return try answers.last?.map(Self.waitingBuild) ?? []
    }

    private static func waitingBuild(_ row: Row) throws -> WaitingBuild {
        let specification: BuildSpecification = try row.json("build")
        let instance = specification.instance
        let excluded: [String] = try row.get("excluded_hosts")
        let forced: String? = try row.get("forced_host")
        return WaitingBuild(
            specification: specification,
            pending: PendingBuild(
                id: instance.id,
                request: PlacementRequest(
                    resources: instance.flavor.resources, availabilityZone: try row.get("wanted_zone"),
                    forcedHost: forced.map { HostName($0) }, excludedHosts: Set(excluded.map { HostName($0) }))),
            version: try row.get("version"), epoch: try row.get("epoch"), failure: instance.fault?.message)
    }

    /// Every scheduler locks in the same order, so two of them wait for each other but never in a circle.
    private func lockProviders(of plans: [[HostName]], in transaction: PostgresTransaction) async throws {
        let names = Set(plans.joined().map(\.text)).sorted()
        guard !names.isEmpty else { return }
        _ = try await transaction.query(
            "select 1 from placement.providers p where p.name = any(\(names)) order by p.id for update")
    }

    /// The first candidate whose claim was not lost to somebody else.
    private func claim(
        _ candidates: [HostName], for build: WaitingBuild, among hosts: [HostName: PlacementSnapshot.Host],
        in transaction: PostgresTransaction
    ) async throws -> PlacementSnapshot.Host? {
        let resources = build.pending.request.resources.sorted { $0.key < $1.key }
        for candidate in candidates {
            let isClaimed: Bool? = try await transaction.query(
                """
                select placement.claim(\(build.pending.id), p.id, \(resources.map(\.key)), \(resources.map(\.value)))
                from placement.providers p where p.name = \(candidate.text)
                """
            ).scalar()
            if isClaimed == true { return hosts[candidate] }
        }
        return nil
    }

    /// No young server fails for want of a host while a cell or a host is away that was there a moment ago: it is looked
    /// for again after a pause, everywhere.
    private func putOff(_ build: WaitingBuild, now: Date, in transaction: PostgresTransaction) async throws -> Bool {
        guard now.timeIntervalSince(build.specification.instance.createdAt) < Self.absencePatience else { return false }
        // A host's record has its times as JSON has them: seconds since 2001.
        return try await transaction.execute(
            """
            update scheduler.build_requests set placed_at = now(), excluded_hosts = '{}'
            where instance_id = \(build.pending.id) and (
                exists (select from directory.cells c where c.is_enabled and c.health = 'down'
                    and c.since > now() - \(Self.returnLimit) * interval '1 second')
                or exists (select from directory.hosts h where not h.is_up and h.is_enabled
                    and (h.record ->> 'updatedAt')::double precision + \(Date.timeIntervalBetween1970AndReferenceDate)
                        > extract(epoch from now()) - \(Self.returnLimit)))
            """) > 0
    }

    private func markPlaced(
        _ build: WaitingBuild, on host: PlacementSnapshot.Host, now: Date, in transaction: PostgresTransaction
    ) async throws -> PlacedBuild {
        var specification = build.specification
        specification.instance.host = host.name
        specification.instance.availabilityZone = host.availabilityZone
        specification.instance.epoch = build.epoch + 1
        specification.instance.version = build.version + 1
        specification.instance.state = .scheduling
        specification.instance.fault = nil
        specification.instance.updatedAt = now
        let id = specification.instance.id
        _ = try await transaction.pipeline([
            """
            update scheduler.build_requests set state = 'placed', build = \(PostgresJSON(specification)),
                cell = \(host.cell.description), host = \(host.name.text), epoch = \(build.epoch + 1), placed_at = \(now)
            where instance_id = \(id)
            """,
            "update directory.instances set version = \(build.version + 1), updated_at = \(now) where id = \(id)",
            """
            insert into directory.placements (instance_id, epoch, cell, host, placed_at)
            values (\(id), \(build.epoch + 1), \(host.cell.description), \(host.name.text), \(now))
            on conflict do nothing
            """,
        ])
        return PlacedBuild(specification: specification, cell: host.cell)
    }

    /// The server ends in ERROR; its build request stays as its document until it is deleted.
    private func fail(
        _ build: WaitingBuild, _ fault: InstanceFault, now: Date, in transaction: PostgresTransaction
    ) async throws {
        var specification = build.specification
        specification.instance.state = ServerState(vm: .error, task: nil, power: .noState)
        specification.instance.fault = fault
        specification.instance.host = nil
        specification.instance.version = build.version + 1
        specification.instance.updatedAt = now
        let state = specification.instance.state
        _ = try await transaction.pipeline([
            """
            update scheduler.build_requests set state = 'failed', build = \(PostgresJSON(specification)), cell = null, host = null
            where instance_id = \(build.pending.id)
            """,
            """
            update directory.instances set version = \(build.version + 1), updated_at = \(now), cell = null, host = null,
                status = \(state.status), vm_state = \(state.vm.rawValue), task_state = null
            where id = \(build.pending.id)
            """,
        ])
    }

    /// An attempt ended without a server: releases its claim, then the next host, or ERROR, or the end of a server that
    /// its user has deleted meanwhile. An attempt that is not the current one is ignored.
    /// - Parameter isExcused: it is nobody's fault: when attempts are over they begin anew, after a pause.
    func retry(
        _ id: ServerID, epoch: Int, failedHost: HostName?, reason: String, isExcused: Bool = false, now: Date,
        in transaction: PostgresTransaction
    ) async throws {
        let rows = try await transaction.query(
            """
            select b.build, b.forced_host, b.wanted_zone, b.excluded_hosts, b.epoch, b.attempts, i.version
            from scheduler.build_requests b join directory.instances i on i.id = b.instance_id
            where b.instance_id = \(id) and b.epoch = \(epoch) and b.state in ('placed', 'sent') for update of b, i
            """)
        guard let row = rows.first else { return }
        var build = try Self.waitingBuild(row)
        if try await isDeleteWanted(id, in: transaction) {
            return try await finish(id, now: now, in: transaction)
        }
        _ = try await transaction.pipeline([
            "select placement.release(\(id))",
            """
            update directory.placements set failure = \(reason), failed_at = \(now)
            where instance_id = \(id) and epoch = \(epoch)
            """,
        ])
        let attempts: Int = try row.get("attempts") + 1
        if isExcused, attempts >= Self.attemptLimit || build.pending.request.forcedHost != nil {
            _ = try await transaction.pipeline([
                """
                update scheduler.build_requests set state = 'waiting', attempts = 0, excluded_hosts = '{}', cell = null,
                    host = null, placed_at = now()
                where instance_id = \(id)
                """,
                "update directory.instances set cell = null, host = null, updated_at = \(now) where id = \(id)",
            ])
            return
        }
        guard attempts < Self.attemptLimit, build.pending.request.forcedHost == nil else {
            let message = "Exceeded maximum number of retries. The last attempt said: \(reason)"
            return try await fail(build, InstanceFault(message: message, createdAt: now), now: now, in: transaction)
        }
        build.specification.instance.fault = InstanceFault(message: reason, createdAt: now)
        _ = try await transaction.pipeline([
            """
            update scheduler.build_requests set state = 'waiting', build = \(PostgresJSON(build.specification)),
                attempts = \(attempts), excluded_hosts = excluded_hosts || \(failedHost.map { [$0.text] } ?? []),
                cell = null, host = null, placed_at = null
            where instance_id = \(id)
            """,
            "update directory.instances set cell = null, host = null, updated_at = \(now) where id = \(id)",
            Self.nudge(.buildRequests),
        ])
    }
}
