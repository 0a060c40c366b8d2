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
    ) async throws -> Placements {
        memory.change { tables in
            let waiting = tables.waiting(limit: limit, now: now)
            guard !waiting.isEmpty else { return Placements(placed: [], hasMore: false) }
            let pending = waiting.map { id, request in
                let instance = request.build.instance
                return PendingBuild(
                    id: id,
                    request: PlacementRequest(
                        resources: instance.flavor.resources, projectID: instance.projectID,
                        availabilityZone: request.zone, forcedHost: request.forcedHost,
                        excludedHosts: request.excluded))
            }
            let snapshot = tables.snapshot
            let plans = plan(pending, snapshot)
            let hopeless = zip(waiting, plans).filter { build, candidates in
                candidates.isEmpty && Self.isYoung(build.request.build.instance, now: now)
            }.map { $0.0.id }
            var hopeful: Set<ServerID> = []
            if !hopeless.isEmpty, let later = snapshot.withReturned(downAfter: now - Placements.returnLimit) {
                let again = pending.filter { hopeless.contains($0.id) }
                hopeful = Set(zip(again, plan(again, later)).filter { !$0.1.isEmpty }.map { $0.0.id })
            }
            let placed = zip(waiting, plans).compactMap { build, candidates in
                tables.settle(build.id, candidates, isHopeful: hopeful.contains(build.id), now: now)
            }
            return Placements(placed: placed, hasMore: waiting.count == limit)
        }
    }

    private static func isYoung(_ instance: Instance, now: Date) -> Bool {
        now.timeIntervalSince(instance.createdAt) < Placements.patience
    }

    package func unacknowledged(before: Date, now: Date, retryAt: Date, limit: Int) async throws -> [PlacedBuild] {
        memory.change { tables in
            let placed = tables.requests.values.filter { request in
                request.state == .placed && request.placedAt.map { $0 < before } ?? false
                    && request.notBefore.map { $0 <= now } ?? true
            }
            func turn(_ request: RootTables.Request) -> (Date, Int64) {
                (request.notBefore ?? request.placedAt ?? before, request.number)
            }
            let taken = placed.sorted { turn($0) < turn($1) }.prefix(limit)
            for request in taken { tables.requests[request.build.instance.id]?.notBefore = retryAt }
            return taken.compactMap { request in
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
                guard tables.requests[instance.id]?.state == .sent else { continue }
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

    package func giveBack(_ build: PlacedBuild, reason: String, now: Date) async throws {
        let instance = build.specification.instance
        let isYoung = Self.isYoung(instance, now: now)
        memory.change {
            $0.retry(
                instance.id, epoch: instance.epoch, failedHost: isYoung ? nil : instance.host, reason: reason,
                isExcused: isYoung, now: now)
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
        memory.change { if !$0.isBuilding(command) { $0.commands[command.id] = nil } }
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
        let now = memory.wallClock.now()
        return memory.change { tables in
            for server in servers.servers {
                let instance = server.build.instance
                tables.directory.rows[instance.id] = DirectoryTables.Row(summary: InstanceSummary(instance), cell: nil)
                tables.uses.insert(instance.id)
                tables.requests[instance.id] = RootTables.Request(
                    build: server.build, forcedHost: server.forcedHost, zone: instance.availabilityZone,
                    acceptedAt: now, number: tables.nextNumber())
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
