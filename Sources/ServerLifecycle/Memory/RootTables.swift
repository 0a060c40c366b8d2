package import CellProtocol
package import CloudModel
package import FoundationEssentials
import PlacementCore

/// The root's tables as values: directory, build requests, claims, uses and commands, and what events do to them.
package struct RootTables: ParentTables {
    /// Attempts to build one server before it fails.
    static let attemptLimit = 3

    struct Request: Sendable {
        enum State: Sendable { case waiting, placed, sent, failed }
        var state = State.waiting
        var build: BuildSpecification
        var cell: CellPath?
        var epoch = 0
        var attempts = 0
        var excluded: Set<HostName> = []
        var forcedHost: HostName?
        var zone: String?
        var placedAt: Date?
        /// In order of acceptance.
        var number: Int64
    }

    struct Claim: Sendable {
        var host: HostName
        var resources: [String: Int64]
    }

    struct Command: Sendable {
        var command: QueuedCommand
        var dueAt: Date
    }

    package var directory = DirectoryTables()
    var requests: [ServerID: Request] = [:]
    var claims: [ServerID: Claim] = [:]
    var commands: [Int64: Command] = [:]
    /// Servers that count against a quota.
    var uses: Set<ServerID> = []
    private var lastNumber: Int64 = 0

    mutating func nextNumber() -> Int64 {
        lastNumber += 1
        return lastNumber
    }

    // MARK: As a parent

    package func holder(of id: ServerID, includingDeleted: Bool) -> CellPath? {
        guard let row = directory.rows[id], includingDeleted || row.deletedAt == nil else { return nil }
        return row.cell ?? requests[id]?.cell
    }

    package mutating func tell(_: CellEvent, now _: Date) {}

    package mutating func apply(_ event: CellEvent, of origin: CellPath, now: Date) throws(EventProblem) {
        switch event {
        case .instanceChanged(let summary):
            if let holder = holder(of: summary.id, includingDeleted: false), holder != origin {
                // An attempt that was given up and is alive after all: the server lives elsewhere now.
                let caller = (summary.userID.text, summary.projectID.text, ["admin"])
                return enqueueDelete(summary.id, in: origin, requestID: "-", caller: caller, now: now)
            }
            take(summary, of: origin, now: now)
            if summary.state.vm != .building, [.placed, .sent].contains(requests[summary.id]?.state) {
                requests[summary.id] = nil
            }
        case .buildFailed(let failure):
            retry(failure.id, epoch: failure.epoch, failedHost: failure.host, reason: failure.reason, now: now)
        case .instanceDeleted(let deletion):
            let holder = holder(of: deletion.id, includingDeleted: false)
            if holder == nil || holder == origin { finish(deletion.id, now: now) }
        case .hostChanged(let host): try apply(host, of: origin)
        case .cellChanged, .cellRemoved: break
        }
    }

    package mutating func take(_ summary: InstanceSummary, of leaf: CellPath, now: Date) {
        _ = directory.upsert(summary, cell: leaf)
        let isDeleteWanted = isDeleteWanted(summary.id)
        if isDeleteWanted, directory.rows[summary.id]?.deletedAt == nil {
            directory.rows[summary.id]?.summary.state.task = .deleting
        }
    }

    private mutating func apply(_ host: HostRecord, of origin: CellPath) throws(EventProblem) {
        guard host.cell == origin else {
            throw EventProblem(description: "host \(host.name) is said to be in cell \(host.cell)")
        }
        if let known = directory.hosts[host.name], known.cell != origin, known.isUp {
            throw EventProblem(description: "host \(host.name) is up in cell \(known.cell)")
        }
        if let other = directory.hosts.values.first(where: { $0.id == host.id && $0.name != host.name }) {
            throw EventProblem(description: "host \(host.name) claims the id of host \(other.name)")
        }
        directory.hosts[host.name] = host
        directory.nudges.append(.buildRequests)
    }

    // MARK: Placing

    var snapshot: PlacementSnapshot {
        let hosts = directory.hosts.values.sorted { $0.name < $1.name }.map { host in
            let inventory = host.inventory
            let isOpen = host.isEnabled && host.isUp && directory.isOpen(host.cell) == true
            var used: [String: Int64] = [:]
            for claim in claims.values where claim.host == host.name {
                used.merge(claim.resources, uniquingKeysWith: +)
            }
            func resource(_ kind: String, _ total: Int, _ reserved: Int, _ ratio: Double) -> PlacementSnapshot.Resource
            {
                .init(
                    total: Int64(total), reserved: Int64(reserved), allocationRatio: ratio, used: used[kind] ?? 0)
            }
            let reserved = min(inventory.reservedMemoryMiB, inventory.memoryMiB)
            return PlacementSnapshot.Host(
                name: host.name, cell: host.cell, availabilityZone: host.availabilityZone, isEligible: isOpen,
                resources: [
                    "VCPU": resource("VCPU", inventory.vcpus, 0, inventory.cpuAllocationRatio),
                    "MEMORY_MB": resource(
                        "MEMORY_MB", inventory.memoryMiB, reserved, inventory.memoryAllocationRatio),
                    "DISK_GB": resource("DISK_GB", inventory.diskGiB, 0, inventory.diskAllocationRatio),
                ])
        }
        return PlacementSnapshot(hosts: hosts)
    }

    func waiting(limit: Int) -> [(id: ServerID, request: Request)] {
        let waiting = requests.filter { id, request in request.state == .waiting && directory.rows[id] != nil }
        return waiting.sorted { $0.value.number < $1.value.number }.prefix(limit).map { ($0.key, $0.value) }
    }

    /// Claims the first of `candidates` that still has room, or gives up for now, or for good.
    mutating func settle(_ id: ServerID, _ candidates: [HostName], now: Date) -> PlacedBuild? {
        guard var request = requests[id] else { return nil }
        let resources = request.build.instance.flavor.resources
        let hosts = snapshot.hosts
        for candidate in candidates where claims[id] == nil {
            guard let host = hosts.first(where: { $0.name == candidate }),
                resources.allSatisfy({ (host.resources[$0.key]?.free ?? 0) >= $0.value })
            else { continue }
            claims[id] = Claim(host: candidate, resources: resources)
            return place(id, &request, on: host, now: now)
        }
        guard !candidates.isEmpty, request.attempts + 1 < Self.attemptLimit else {
            let reason = request.build.instance.fault?.message ?? "There are not enough hosts available."
            fail(id, InstanceFault(message: "No valid host was found. \(reason)", createdAt: now), now: now)
            return nil
        }
        requests[id]?.attempts += 1
        directory.nudges.append(.buildRequests)
        return nil
    }

    private mutating func place(
        _ id: ServerID, _ request: inout Request, on host: PlacementSnapshot.Host, now: Date
    ) -> PlacedBuild {
        let version = (directory.rows[id]?.summary.version ?? 0) + 1
        request.epoch += 1
        request.state = .placed
        request.cell = host.cell
        request.placedAt = now
        request.build.instance.host = host.name
        request.build.instance.availabilityZone = host.availabilityZone
        request.build.instance.epoch = request.epoch
        request.build.instance.version = version
        request.build.instance.state = .scheduling
        request.build.instance.fault = nil
        request.build.instance.updatedAt = now
        requests[id] = request
        directory.rows[id]?.summary.version = version
        directory.rows[id]?.summary.updatedAt = now
        return PlacedBuild(specification: request.build, cell: host.cell)
    }

    private mutating func fail(_ id: ServerID, _ fault: InstanceFault, now: Date) {
        guard var request = requests[id] else { return }
        let version = (directory.rows[id]?.summary.version ?? 0) + 1
        request.state = .failed
        request.cell = nil
        request.build.instance.state = ServerState(vm: .error, task: nil, power: .noState)
        request.build.instance.fault = fault
        request.build.instance.host = nil
        request.build.instance.version = version
        request.build.instance.updatedAt = now
        requests[id] = request
        directory.rows[id]?.cell = nil
        directory.rows[id]?.summary = InstanceSummary(request.build.instance)
    }

    /// An attempt ended without a server: releases its claim, then the next host, or ERROR, or the end of a server that
    /// its user has deleted meanwhile. An attempt that is not the current one is ignored.
    mutating func retry(_ id: ServerID, epoch: Int, failedHost: HostName?, reason: String, now: Date) {
        guard var request = requests[id], request.epoch == epoch, [.placed, .sent].contains(request.state) else {
            return
        }
        if isDeleteWanted(id) { return finish(id, now: now) }
        claims[id] = nil
        request.attempts += 1
        requests[id] = request
        guard request.attempts < Self.attemptLimit, request.forcedHost == nil else {
            let message = "Exceeded maximum number of retries. The last attempt said: \(reason)"
            return fail(id, InstanceFault(message: message, createdAt: now), now: now)
        }
        request.state = .waiting
        request.build.instance.fault = InstanceFault(message: reason, createdAt: now)
        if let failedHost { request.excluded.insert(failedHost) }
        request.cell = nil
        request.placedAt = nil
        requests[id] = request
        directory.rows[id]?.cell = nil
        directory.rows[id]?.summary.host = nil
        directory.rows[id]?.summary.updatedAt = now
        directory.nudges.append(.buildRequests)
    }

    // MARK: The end of a server

    func isDeleteWanted(_ id: ServerID) -> Bool {
        commands.values.contains { $0.command.serverID == id && $0.command.action == .delete }
    }

    mutating func enqueueDelete(
        _ id: ServerID, in cell: CellPath, requestID: String,
        caller: (user: String, project: String, roles: [String]), now: Date
    ) {
        let isQueued = commands.values.contains {
            $0.command.serverID == id && $0.command.cell == cell && $0.command.action == .delete
        }
        guard !isQueued else { return }
        let number = nextNumber()
        let command = QueuedCommand(
            id: number, cell: cell, serverID: id, action: .delete, requestID: requestID, userID: caller.user,
            projectID: caller.project, roles: caller.roles)
        commands[number] = Command(command: command, dueAt: now)
        directory.nudges.append(.commands)
    }

    /// Everything of the root's that belongs to the server goes; the directory keeps its row as deleted.
    mutating func finish(_ id: ServerID, now: Date) {
        claims[id] = nil
        requests[id] = nil
        uses.remove(id)
        commands = commands.filter { $0.value.command.serverID != id }
        directory.end(id, at: now, version: nil)
    }
}
