package import CellProtocol
package import CloudModel
package import FoundationEssentials
package import MessageBus
import PostgresClient
package import ServerLifecycle

extension PostgresRootStore {
    // MARK: Commands

    package func dueCommands(
        cells: [CellPath], now: Date, retryAt: Date, limit: Int
    ) async throws -> [QueuedCommand] {
        let rows = try await pool.query(
            """
            update outbox.commands set due_at = \(retryAt) where id in (
                select c.id from outbox.commands c
                where c.due_at <= \(now)
                    and exists (select from unnest(\(cells.map(\.description))) as r (path)
                        where c.cell = r.path or starts_with(c.cell, r.path || '/'))
                    and not exists (select from directory.cells d
                        where d.path = c.cell and d.bus is null and d.health = 'down')
                    and not exists (select 1 from scheduler.build_requests b
                        where b.instance_id = c.instance_id and b.state = 'placed')
                order by c.id limit \(limit) for update of c skip locked)
            returning id, cell, instance_id, action, request_id, caller
            """)
        return try rows.map { row in
            let caller: Caller = try row.json("caller")
            return QueuedCommand(
                id: try row.get("id"), cell: try Self.cell(row.get("cell")), serverID: try row.get("instance_id"),
                action: try row.json("action"), requestID: try row.get("request_id"), userID: caller.userID,
                projectID: caller.projectID, roles: caller.roles)
        }
    }

    package func complete(_ command: QueuedCommand) async throws {
        _ = try await pool.execute(
            """
            delete from outbox.commands c where id = \(command.id)
                and not (action = \(PostgresJSON(ServerAction.delete)) and exists (
                    select 1 from scheduler.build_requests b
                    where b.instance_id = c.instance_id and b.cell = c.cell and b.state in ('placed', 'sent')))
            """)
    }

    package func completeUnknown(_ command: QueuedCommand, now: Date) async throws {
        try await pool.transaction { transaction in
            let rows = try await transaction.query(
                "select cell from directory.instances where id = \(command.serverID) and deleted_at is null for update")
            let holder: String? = try rows.first?.get("cell")
            if holder == nil || holder == command.cell.description {
                try await finish(command.serverID, now: now, in: transaction)
            }
            try await transaction.execute("delete from outbox.commands where id = \(command.id)")
        }
    }

    /// Whether the server is to be deleted in the cell that builds it. What an attempt that was given up left in another cell
    /// is deleted there, and says nothing of the server.
    func isDeleteWanted(_ id: ServerID, in transaction: PostgresTransaction) async throws -> Bool {
        let count: Int64? = try await transaction.query(
            """
            select count(*) from outbox.commands c
            join scheduler.build_requests b on b.instance_id = c.instance_id and b.cell = c.cell
            where c.instance_id = \(id) and c.action = \(PostgresJSON(ServerAction.delete))
            """
        ).scalar()
        return (count ?? 0) > 0
    }

    func enqueueDelete(
        _ id: ServerID, in cell: CellPath, requestID: String, caller: Caller, now: Date,
        _ transaction: PostgresTransaction
    ) async throws {
        _ = try await transaction.pipeline([
            """
            insert into outbox.commands (cell, instance_id, action, request_id, caller, due_at, created_at)
            select \(cell.description), \(id), \(PostgresJSON(ServerAction.delete)), \(requestID), \(PostgresJSON(caller)), \(now), \(now)
            where not exists (select 1 from outbox.commands c where c.instance_id = \(id)
                and c.cell = \(cell.description) and c.action = \(PostgresJSON(ServerAction.delete)))
            """,
            Self.nudge(.commands),
        ])
    }
}

// MARK: What the API accepts

/// The root's writes for the API: a facet of ``PostgresRootStore`` with the clock that stamps what is accepted.
package struct PostgresServerAcceptance: ServerAcceptance {
    private let store: PostgresRootStore
    private let now: @Sendable () -> Date

    package init(store: PostgresRootStore, now: @escaping @Sendable () -> Date) {
        self.store = store
        self.now = now
    }

    package func accept(_ servers: NewServers) async throws -> [Instance] {
        let now = now()
        return try await store.pool.transaction { transaction in
            if let project = servers.servers.first?.build.instance.projectID {
                _ = try await transaction.query(PostgresRootStore.quotaLock(project))
                // Whoever had the lock before has written all or none.
                let earlier = servers.isRepeatable ? try await known(servers, in: transaction) : []
                guard earlier.isEmpty else { return earlier }
                try await check(servers, of: project, in: transaction)
            }
            if let group = servers.group {
                try await PostgresRootStore.join(
                    servers.servers.map(\.build.instance), group, limit: servers.groupMemberLimit, in: transaction)
            }
            var accepted: [Instance] = []
            for server in servers.servers {
                var specification = server.build
                let reserved = try await store.ports.reserve(server.ports, transaction, now)
                specification.instance.interfaces = reserved.interfaces
                specification.instance.securityGroups = reserved.securityGroups
                try await insert(specification, server, now: now, in: transaction)
                accepted.append(specification.instance)
            }
            _ = try await transaction.query(PostgresRootStore.nudge(.buildRequests))
            return accepted
        }
    }

    /// What an earlier try of the same request has made, whether it lives or is deleted.
    private func known(_ servers: NewServers, in transaction: PostgresTransaction) async throws -> [Instance] {
        let instances = servers.servers.map(\.build.instance)
        let rows = try await transaction.query(
            "select id from directory.instances where id = any(\(instances.map(\.id)))")
        let ids = Set(try rows.map { row in try row.get("id", as: ServerID.self) })
        return instances.filter { ids.contains($0.id) }
    }

    /// One request of a project at a time counts and adds, so the limit holds under any number of API replicas.
    private func check(_ servers: NewServers, of project: ProjectID, in transaction: PostgresTransaction) async throws {
        let instances = servers.servers.map(\.build.instance)
        let added = ComputeUsage(
            instances: instances.count, cores: instances.reduce(0) { $0 + $1.flavor.vcpus },
            memoryMiB: instances.reduce(0) { $0 + $1.flavor.memoryMiB })
        let user = instances.first?.userID
        for (quota, user) in [(servers.quota, nil), (servers.userQuota, user)] {
            guard let quota else { continue }
            let rows = try await transaction.query(PostgresRootStore.usage(of: project, user: user))
            if let row = rows.first { try quota.check(used: PostgresRootStore.usage(row), added: added) }
        }
    }

    private func insert(
        _ specification: BuildSpecification, _ server: NewServers.Server, now: Date, in transaction: PostgresTransaction
    ) async throws {
        let instance = specification.instance
        let summary = InstanceSummary(instance)
        _ = try await transaction.pipeline([
            """
            insert into directory.instances (id, version, project_id, user_id, name, hostname, description, status,
                vm_state, task_state, power_state, flavor_id, image_id, availability_zone, key_name, addresses, tags,
                is_locked, reservation_id, vcpus, memory_mib, created_at, updated_at)
            values (\(summary.id), \(summary.version), \(summary.projectID.text), \(summary.userID.text), \(summary.name),
                \(summary.hostname), \(summary.description), \(summary.status), \(summary.state.vm.rawValue),
                \(summary.state.task?.rawValue), \(summary.state.power.rawValue), \(summary.flavorID), \(summary.imageID),
                \(summary.availabilityZone), \(summary.keyName), \(summary.addresses), \(summary.tags),
                \(summary.isLocked), \(summary.reservationID), \(instance.flavor.vcpus), \(instance.flavor.memoryMiB),
                \(summary.createdAt), \(summary.updatedAt))
            """,
            """
            insert into quota.uses (instance_id, project_id, user_id, vcpus, memory_mib)
            values (\(instance.id), \(instance.projectID.text), \(instance.userID.text), \(instance.flavor.vcpus),
                \(instance.flavor.memoryMiB))
            """,
            """
            insert into scheduler.build_requests (instance_id, state, build, forced_host, wanted_zone, created_at)
            values (\(instance.id), 'waiting', \(PostgresJSON(specification)), \(server.forcedHost?.text),
                \(instance.availabilityZone), \(now))
            """,
        ])
    }

    package func delete(_ id: ServerID, requestID: String, caller: Caller) async throws -> ServerDeletion {
        let now = now()
        return try await store.pool.transaction { transaction in
            let rows = try await transaction.query(
                "select cell from directory.instances where id = \(id) and deleted_at is null for update")
            guard let row = rows.first else { return .notFound }
            let requests = try await transaction.query(
                "select state, cell from scheduler.build_requests where instance_id = \(id) for update")
            let ownCell: String? = try row.get("cell")
            let requestState: String? = try requests.first?.get("state")
            let requestCell: String? = try requests.first?.get("cell")
            guard let cell = ownCell ?? requestCell, requestState != "waiting", requestState != "failed" else {
                try await store.finish(id, now: now, in: transaction)
                return .deleted
            }
            try await store.enqueueDelete(
                id, in: PostgresRootStore.cell(cell), requestID: requestID, caller: caller, now: now, transaction)
            try await transaction.execute(
                "update directory.instances set task_state = 'deleting', updated_at = \(now) where id = \(id)")
            return .requested
        }
    }
}
