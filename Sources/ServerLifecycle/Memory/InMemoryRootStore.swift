package import CellProtocol
package import CloudModel
package import FoundationEssentials
package import MessageBus
package import PlacementCore
package import Primitives

/// The stand-in for the root's database: for tests and simulations. It has no aggregates, groups, hints and ports, and
/// counts servers of a quota without a bound.
package final class InMemoryRootStore: InMemoryParentStore, RootStore, ServerAcceptance {
    package let memory: InMemoryParent<RootTables>

    package init(wallClock: any WallClock) { memory = InMemoryParent(RootTables(), wallClock: wallClock) }

    // MARK: The directory's completeness

    package func restoreUnplaced() async throws -> Int {
        memory.change { tables in
            let lost = tables.requests.filter { tables.directory.rows[$0.key] == nil }
            for request in lost.values {
                _ = tables.directory.upsert(
                    InstanceSummary(request.build.instance), cell: request.state == .sent ? request.cell : nil)
            }
            let own = tables.directory.gaps.filter { $0.value.isRoot }
            for number in own.keys { tables.directory.gaps[number] = nil }
            return lost.count
        }
    }

    package func reconcile() async throws -> Reconciliation {
        memory.change { tables in
            var found = Reconciliation()
            guard tables.directory.gaps.isEmpty else { return found }
            let living = Set(tables.directory.rows.filter { $0.value.deletedAt == nil }.keys)
            found.uses = tables.uses.symmetricDifference(living).count
            tables.uses = living
            let left = tables.claims.keys.filter { !living.contains($0) && tables.requests[$0] == nil }
            for id in left { tables.claims[id] = nil }
            found.leftClaims = left.count
            for id in living where tables.claims[id] == nil && tables.requests[id] == nil {
                guard let row = tables.directory.rows[id], let host = row.summary.host,
                    ![.building, .error].contains(row.summary.state.vm)
                else { continue }
                tables.claims[id] = RootTables.Claim(
                    host: host,
                    resources: [
                        "VCPU": Int64(row.summary.vcpus ?? 0), "MEMORY_MB": Int64(row.summary.memoryMiB ?? 0),
                    ])
                found.missingClaims += 1
            }
            return found
        }
    }

    // MARK: Scheduling

    package func place(
        limit: Int, now: Date, plan: @Sendable ([PendingBuild], PlacementSnapshot) -> [[HostName]]
    ) async throws -> [PlacedBuild] {
        memory.change { tables in
            let waiting = tables.waiting(limit: limit)
            guard !waiting.isEmpty else { return [] }
            let pending = waiting.map { id, request in
                let instance = request.build.instance
                return PendingBuild(
                    id: id,
                    request: PlacementRequest(
                        resources: instance.flavor.resources, projectID: instance.projectID,
                        availabilityZone: request.zone, forcedHost: request.forcedHost,
                        excludedHosts: request.excluded))
            }
            let plans = plan(pending, tables.snapshot)
            return zip(waiting, plans).compactMap { build, candidates in tables.settle(build.id, candidates, now: now) }
        }
    }

    package func unacknowledged(before: Date, limit: Int) async throws -> [PlacedBuild] {
        memory.read { tables in
            let placed = tables.requests.values.filter { request in
                request.state == .placed && request.placedAt.map { $0 < before } ?? false
            }
            return placed.sorted { $0.number < $1.number }.prefix(limit).compactMap { request in
                request.cell.map { PlacedBuild(specification: request.build, cell: $0) }
            }
        }
    }

    package func acknowledge(_ builds: [PlacedBuild]) async throws {
        memory.change { tables in
            for build in builds {
                let instance = build.specification.instance
                guard let request = tables.requests[instance.id], request.epoch == instance.epoch else { continue }
                if request.state == .placed { tables.requests[instance.id]?.state = .sent }
                if let row = tables.directory.rows[instance.id], row.cell == nil, row.deletedAt == nil {
                    tables.directory.rows[instance.id]?.cell = build.cell
                    tables.directory.rows[instance.id]?.summary.host = instance.host
                }
            }
            tables.directory.nudges.append(.commands)
        }
    }

    package func refuse(_ build: PlacedBuild, reason: String, now: Date) async throws {
        let instance = build.specification.instance
        memory.change {
            $0.retry(instance.id, epoch: instance.epoch, failedHost: instance.host, reason: reason, now: now)
        }
    }

    // MARK: Commands

    package func dueCommands(
        cells: [CellPath], now: Date, retryAt: Date, limit: Int
    ) async throws -> [QueuedCommand] {
        memory.change { tables in
            let due = tables.commands.values.filter { queued in
                let cell = queued.command.cell
                let leaf = tables.directory.cells[cell]
                return queued.dueAt <= now && cells.contains { $0.holds(cell) }
                    && !(leaf?.bus == nil && leaf?.standing.health == .down)
                    && tables.requests[queued.command.serverID]?.state != .placed
            }
            let taken = due.map(\.command).sorted { $0.id < $1.id }.prefix(limit)
            for command in taken { tables.commands[command.id]?.dueAt = retryAt }
            return Array(taken)
        }
    }

    package func complete(_ command: QueuedCommand) async throws {
        memory.change { $0.commands[command.id] = nil }
    }

    package func completeUnknown(_ command: QueuedCommand, now: Date) async throws {
        memory.change { tables in
            if let row = tables.directory.rows[command.serverID], row.deletedAt == nil,
                row.cell == nil || row.cell == command.cell
            {
                tables.finish(command.serverID, now: now)
            }
            tables.commands[command.id] = nil
        }
    }

    // MARK: What the API accepts

    package func accept(_ servers: NewServers) async throws -> [Instance] {
        memory.change { tables in
            for server in servers.servers {
                let instance = server.build.instance
                tables.directory.rows[instance.id] = DirectoryTables.Row(summary: InstanceSummary(instance), cell: nil)
                tables.uses.insert(instance.id)
                tables.requests[instance.id] = RootTables.Request(
                    build: server.build, forcedHost: server.forcedHost, zone: instance.availabilityZone,
                    number: tables.nextNumber())
            }
            tables.directory.nudges.append(.buildRequests)
            return servers.servers.map(\.build.instance)
        }
    }

    package func delete(_ id: ServerID, requestID: String, caller: Caller) async throws -> ServerDeletion {
        let now = memory.wallClock.now()
        return memory.change { tables in
            guard let row = tables.directory.rows[id], row.deletedAt == nil else { return .notFound }
            let request = tables.requests[id]
            guard let cell = row.cell ?? request?.cell, request?.state != .waiting, request?.state != .failed else {
                tables.finish(id, now: now)
                return .deleted
            }
            tables.enqueueDelete(
                id, in: cell, requestID: requestID, caller: (caller.userID, caller.projectID, caller.roles), now: now)
            tables.directory.rows[id]?.summary.state.task = .deleting
            tables.directory.rows[id]?.summary.updatedAt = now
            return .requested
        }
    }
}

// MARK: What tests and simulations look at

extension InMemoryRootStore {
    /// Everything of the root at one moment.
    package struct View: Sendable {
        package struct Server: Sendable {
            package var summary: InstanceSummary
            package var cell: CellPath?
            package var isDeleted: Bool
            /// Nil when nothing of a build is left.
            package var isFailedBuild: Bool?
        }

        package var servers: [ServerID: Server]
        /// Hosts that servers have a place on.
        package var claims: [ServerID: HostName]
        package var uses: Set<ServerID>
        package var commands: [QueuedCommand]
        package var hosts: [HostRecord]
    }

    package func view() -> View {
        memory.read { tables in
            View(
                servers: tables.directory.rows.mapValues { row in
                    View.Server(
                        summary: row.summary, cell: row.cell, isDeleted: row.deletedAt != nil,
                        isFailedBuild: tables.requests[row.summary.id].map { $0.state == .failed })
                }, claims: tables.claims.mapValues(\.host), uses: tables.uses,
                commands: tables.commands.values.map(\.command).sorted { $0.id < $1.id },
                hosts: tables.directory.hosts.values.sorted { $0.name < $1.name })
        }
    }
}
