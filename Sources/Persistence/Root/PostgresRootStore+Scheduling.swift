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
    ) async throws -> Placements {
        try await pool.transaction { transaction in
            let waiting = try await takeWaiting(limit: limit, now: now, in: transaction)
            guard !waiting.isEmpty else { return Placements(placed: [], hasMore: false) }
            var groups = try await Self.lockGroups(Set(waiting.compactMap(\.pending.request.group)), in: transaction)
            var snapshot = try await picture.read(in: transaction)
            snapshot.groups = groups
            let plans = plan(waiting.map(\.pending), snapshot)
            let hopeful = Self.hopeful(waiting, plans, snapshot, now: now, plan: plan)
            let hosts = picture.hosts(named: Set(plans.joined()))
            try await lockProviders(of: plans, in: transaction)
            var placed: [PlacedBuild] = []
            for (build, candidates) in zip(waiting, plans) {
                let group = build.pending.request.group
                // An earlier server of the batch may have come to another host than was planned.
                let allowed = candidates.filter { candidate in
                    group.flatMap { groups[$0] }?.accepts(candidate) ?? true
                }
                if let host = try await claim(allowed, for: build, among: hosts, in: transaction) {
                    if let group { groups[group]?.servers[host.name, default: 0] += 1 }
                    placed.append(try await markPlaced(build, on: host, now: now, in: transaction))
                } else if candidates.isEmpty, hopeful.contains(build.pending.id) {
                    try await putOff(build, now: now, in: transaction)
                } else {
                    try await giveUp(build, isAnyLeft: !candidates.isEmpty, now: now, in: transaction)
                }
            }
            return Placements(placed: placed, hasMore: waiting.count == limit)
        }
    }

    package func unacknowledged(before: Date, now: Date, retryAt: Date, limit: Int) async throws -> [PlacedBuild] {
        let rows = try await pool.query(
            """
            update scheduler.build_requests set not_before = \(retryAt) where instance_id in (
                select instance_id from scheduler.build_requests
                where state = 'placed' and placed_at < \(before) and (not_before is null or not_before <= \(now))
                order by coalesce(not_before, placed_at) limit \(limit) for update skip locked)
            returning build, cell
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
                    and exists (select 1 from scheduler.build_requests b where b.instance_id = \(instance.id)
                        and b.epoch = \(instance.epoch) and b.state = 'sent')
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
        let isYoung = Self.isYoung(instance, now: now)
        try await pool.transaction { transaction in
            try await retry(
                instance.id, epoch: instance.epoch, failedHost: isYoung ? nil : instance.host, reason: reason,
                isExcused: isYoung, now: now, in: transaction)
        }
    }

    // MARK: Waiting for what is away

    private static func isYoung(_ instance: Instance, now: Date) -> Bool {
        now.timeIntervalSince(instance.createdAt) < Placements.patience
    }

    /// Those without a host now that had one if what went down a moment ago were back.
    private static func hopeful(
        _ waiting: [WaitingBuild], _ plans: [[HostName]], _ snapshot: PlacementSnapshot, now: Date,
        plan: ([PendingBuild], PlacementSnapshot) -> [[HostName]]
    ) -> Set<ServerID> {
        let hopeless = zip(waiting, plans).filter { build, candidates in
            candidates.isEmpty && isYoung(build.specification.instance, now: now)
        }.map { $0.0.pending }
        guard !hopeless.isEmpty,
            let later = snapshot.withReturned(downAfter: now.addingTimeInterval(-Placements.returnLimit))
        else { return [] }
        return Set(zip(hopeless, plan(hopeless, later)).filter { !$0.1.isEmpty }.map { $0.0.id })
    }

    private func putOff(_ build: WaitingBuild, now: Date, in transaction: PostgresTransaction) async throws {
        try await transaction.execute(
            """
            update scheduler.build_requests set not_before = \(now.addingTimeInterval(Placements.pause))
            where instance_id = \(build.pending.id)
            """)
    }

    // MARK: Steps inside a transaction

    /// A build request that is locked by this transaction.
    struct WaitingBuild {
        var specification: BuildSpecification
        var pending: PendingBuild
        /// Of the directory's row.
        var version: Int64
        var epoch: Int
        /// That failed.
        var attempts: Int
        /// Why the last attempt failed.
        var failure: String?
    }

    /// An operator's word on a cell or a host waits for placements that have begun, and later ones see it.
    static let placementGate = "cellwright placement"

    /// Those that were put off come after those that were accepted before their turn.
    private func takeWaiting(limit: Int, now: Date, in transaction: PostgresTransaction) async throws -> [WaitingBuild]
    {
        let answers = try await transaction.pipeline([
            "select pg_advisory_xact_lock_shared(hashtextextended(\(Self.placementGate), 0))",
            """
            select b.build, b.forced_host, b.wanted_zone, b.excluded_hosts, b.epoch, b.attempts, i.version, m.group_id
            from scheduler.build_requests b join directory.instances i on i.id = b.instance_id
            left join scheduler.group_members m on m.instance_id = b.instance_id
            where b.state = 'waiting' and (b.not_before is null or b.not_before <= \(now))
            order by coalesce(b.not_before, b.created_at) limit \(limit)
            for update of b skip locked
            """,
        ])
        var waiting = try answers.last?.map(Self.waitingBuild) ?? []
        try await heedHints(of: &waiting, in: transaction)
        return waiting
    }

    /// Hints that name other servers become the hosts where these are, of the same project.
    private func heedHints(of waiting: inout [WaitingBuild], in transaction: PostgresTransaction) async throws {
        let hints = waiting.map { SchedulerHints($0.specification.instance.schedulerHints) }
        let named = hints.reduce(into: Set<ServerID>()) { $0.formUnion($1.sameHost.union($1.differentHost)) }
        let places = try await Self.hosts(of: named, in: transaction)
        for (index, hints) in hints.enumerated() {
            let project = waiting[index].specification.instance.projectID
            func hosts(of servers: Set<ServerID>) -> Set<HostName> {
                Set(servers.compactMap { places[$0] }.filter { $0.project == project }.map(\.host))
            }
            if !hints.sameHost.isEmpty { waiting[index].pending.request.allowedHosts = hosts(of: hints.sameHost) }
            waiting[index].pending.request.excludedHosts.formUnion(hosts(of: hints.differentHost))
        }
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
                    resources: instance.flavor.resources, projectID: instance.projectID,
                    aggregateSpecs: instance.flavor.aggregateSpecs, availabilityZone: try row.get("wanted_zone"),
                    forcedHost: forced.map { HostName($0) }, excludedHosts: Set(excluded.map { HostName($0) }),
                    group: try row.get("group_id"))),
            version: try row.get("version"), epoch: try row.get("epoch"), attempts: try row.get("attempts"),
            failure: instance.fault?.message)
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

    /// No candidate is left. Those that were lost to others may leave room elsewhere, so that is looked for once more, a
    /// few times; a server that fits nowhere fails.
    private func giveUp(
        _ build: WaitingBuild, isAnyLeft: Bool, now: Date, in transaction: PostgresTransaction
    ) async throws {
        guard isAnyLeft, build.attempts + 1 < Self.attemptLimit else {
            let reason = build.failure ?? "There are not enough hosts available."
            let fault = InstanceFault(message: "No valid host was found. \(reason)", createdAt: now)
            return try await fail(build, fault, now: now, in: transaction)
        }
        _ = try await transaction.pipeline([
            "update scheduler.build_requests set attempts = attempts + 1 where instance_id = \(build.pending.id)",
            Self.nudge(.buildRequests),
        ])
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
                cell = \(host.cell.description), host = \(host.name.text), epoch = \(build.epoch + 1), placed_at = \(now),
                not_before = null
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
    /// - Parameter isExcused: nothing was tried: it does not count, and the server waits a moment.
    func retry(
        _ id: ServerID, epoch: Int, failedHost: HostName?, reason: String, isExcused: Bool = false, now: Date,
        in transaction: PostgresTransaction
    ) async throws {
        let rows = try await transaction.query(
            """
            select b.build, b.forced_host, b.wanted_zone, b.excluded_hosts, b.epoch, b.attempts, i.version, m.group_id
            from scheduler.build_requests b join directory.instances i on i.id = b.instance_id
            left join scheduler.group_members m on m.instance_id = b.instance_id
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
        let attempts = isExcused ? build.attempts : build.attempts + 1
        guard isExcused || attempts < Self.attemptLimit && build.pending.request.forcedHost == nil else {
            let message = "Exceeded maximum number of retries. The last attempt said: \(reason)"
            return try await fail(build, InstanceFault(message: message, createdAt: now), now: now, in: transaction)
        }
        build.specification.instance.fault = InstanceFault(message: reason, createdAt: now)
        _ = try await transaction.pipeline([
            """
            update scheduler.build_requests set state = 'waiting', build = \(PostgresJSON(build.specification)),
                attempts = \(attempts), excluded_hosts = excluded_hosts || \(failedHost.map { [$0.text] } ?? []),
                cell = null, host = null, placed_at = null,
                not_before = \(isExcused ? now.addingTimeInterval(Placements.pause) : nil)
            where instance_id = \(id)
            """,
            "update directory.instances set cell = null, host = null, updated_at = \(now) where id = \(id)",
            Self.nudge(.buildRequests),
        ])
    }
}
