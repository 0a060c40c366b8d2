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
        /// It is not looked at before.
        var notBefore: Date?
        let acceptedAt: Date
        /// In order of acceptance.
        var number: Int64
    }

    struct Claim: Sendable {
        var host: HostName
        var resources: [String: Int64]
    }

    /// An attempt to build a server somewhere.
    struct Placement: Sendable {
        var epoch: Int
        var cell: CellPath
        var host: HostName
    }

    struct Command: Sendable {
        var command: QueuedCommand
        var dueAt: Date
    }

    package var directory = DirectoryTables()
    var requests: [ServerID: Request] = [:]
    var claims: [ServerID: Claim] = [:]
    /// Every attempt that there was.
    var placements: [ServerID: [Placement]] = [:]
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
        let row = directory.rows[id]
        guard includingDeleted || row?.deletedAt == nil && row != nil else { return nil }
        return row?.cell ?? requests[id]?.cell
    }

    package mutating func tell(_: CellEvent, now _: Date) {}

    package mutating func apply(_ event: CellEvent, of origin: CellPath, now: Date) throws(EventProblem) {
        switch event {
        case .instanceChanged(let summary): apply(summary, of: origin, now: now)
        case .buildFailed(let failure):
            retry(failure.id, epoch: failure.epoch, failedHost: failure.host, reason: failure.reason, now: now)
        case .instanceDeleted(let deletion):
            let holder = holder(of: deletion.id, includingDeleted: false)
            if holder == nil || holder == origin { finish(deletion.id, now: now) }
        case .hostChanged(let host): try apply(host, of: origin)
        case .cellChanged, .cellRemoved: break
        }
    }

    private mutating func apply(_ summary: InstanceSummary, of origin: CellPath, now: Date) {
        if let row = directory.rows[summary.id] {
            let holder = row.cell ?? requests[summary.id]?.cell
            if holder.map({ $0 != origin }) ?? false || row.deletedAt != nil && summary.state.vm != .deleted {
                // An attempt that was given up and is alive after all: the server lives elsewhere now, or its user
                // deleted it.
                let caller = (summary.userID.text, summary.projectID.text, ["admin"])
                return enqueueDelete(summary.id, in: origin, requestID: "-", caller: caller, now: now)
            }
            if requests[summary.id]?.state == .waiting, !takeBack(summary, from: origin) { return }
        }
        _ = directory.upsert(summary, cell: origin)
        if summary.state.vm != .building, [.placed, .sent].contains(requests[summary.id]?.state) {
            requests[summary.id] = nil
        }
    }

    /// An attempt that was given back because its cell could not be asked is there after all, and the server waits for no
    /// host any more.
    /// - Returns: false for news of an attempt that is over.
    private mutating func takeBack(_ summary: InstanceSummary, from leaf: CellPath) -> Bool {
        guard var request = requests[summary.id], let host = summary.host, summary.state.vm != .error else {
            return false
        }
        let there = placements[summary.id, default: []].filter { $0.cell == leaf && $0.host == host }
        guard let epoch = there.map(\.epoch).max() else { return false }
        // What becomes of one that is being built is told by its epoch.
        guard summary.state.vm != .building || epoch == request.epoch else { return false }
        // It is there whether there is room or not; then the reconciler claims what it can.
        claim(summary.id, request.build.instance.flavor.resources, on: host)
        request.state = .sent
        request.cell = leaf
        request.notBefore = nil
        requests[summary.id] = request
        return true
    }

    /// - Returns: false when there is no room, or the server has a place already.
    @discardableResult
    private mutating func claim(_ id: ServerID, _ resources: [String: Int64], on name: HostName) -> Bool {
        guard claims[id] == nil, let host = snapshot.hosts.first(where: { $0.name == name }),
            resources.allSatisfy({ (host.resources[$0.key]?.free ?? 0) >= $0.value })
        else { return false }
        claims[id] = Claim(host: name, resources: resources)
        return true
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
            let way = directory.way(to: host.cell)
            let isMeantTo = host.isEnabled && way.isKnown
            let downSince = [way.downSince, host.isUp ? nil : host.updatedAt].compactMap(\.self).min()
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
                name: host.name, cell: host.cell, availabilityZone: host.availabilityZone,
                isEligible: isMeantTo && downSince == nil, downSince: isMeantTo ? downSince : nil,
                resources: [
                    "VCPU": resource("VCPU", inventory.vcpus, 0, inventory.cpuAllocationRatio),
                    "MEMORY_MB": resource(
                        "MEMORY_MB", inventory.memoryMiB, reserved, inventory.memoryAllocationRatio),
                    "DISK_GB": resource("DISK_GB", inventory.diskGiB, 0, inventory.diskAllocationRatio),
                ])
        }
        return PlacementSnapshot(hosts: hosts)
    }

    /// Those that were put off come after those that were accepted before their turn.
    func waiting(limit: Int, now: Date) -> [(id: ServerID, request: Request)] {
        let waiting = requests.filter { id, request in
            request.state == .waiting && directory.rows[id] != nil && request.notBefore.map { $0 <= now } ?? true
        }
        func turn(_ request: Request) -> (Date, Int64) { (request.notBefore ?? request.acceptedAt, request.number) }
        return waiting.sorted { turn($0.value) < turn($1.value) }.prefix(limit).map { ($0.key, $0.value) }
    }

    /// Claims the first of `candidates` that still has room, or gives up for now, or for good.
    /// - Parameter isHopeful: it had a host if what went down a moment ago were back.
    mutating func settle(_ id: ServerID, _ candidates: [HostName], isHopeful: Bool, now: Date) -> PlacedBuild? {
        guard let request = requests[id] else { return nil }
        let resources = request.build.instance.flavor.resources
        for candidate in candidates {
            guard let host = directory.hosts[candidate], claim(id, resources, on: candidate) else { continue }
            return place(id, on: host, now: now)
        }
        if candidates.isEmpty, isHopeful {
            requests[id]?.notBefore = now + Placements.pause
            return nil
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

    private mutating func place(_ id: ServerID, on host: HostRecord, now: Date) -> PlacedBuild? {
        guard var request = requests[id] else { return nil }
        let version = (directory.rows[id]?.summary.version ?? 0) + 1
        request.epoch += 1
        request.state = .placed
        request.cell = host.cell
        request.placedAt = now
        request.notBefore = nil
        placements[id, default: []].append(Placement(epoch: request.epoch, cell: host.cell, host: host.name))
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
    /// - Parameter isExcused: nothing was tried: it does not count, and the server waits a moment.
    mutating func retry(
        _ id: ServerID, epoch: Int, failedHost: HostName?, reason: String, isExcused: Bool = false, now: Date
    ) {
        guard var request = requests[id], request.epoch == epoch, [.placed, .sent].contains(request.state) else {
            return
        }
        if isDeleteWanted(id, in: request.cell) { return finish(id, now: now) }
        claims[id] = nil
        if !isExcused { request.attempts += 1 }
        requests[id] = request
        guard isExcused || request.attempts < Self.attemptLimit && request.forcedHost == nil else {
            let message = "Exceeded maximum number of retries. The last attempt said: \(reason)"
            return fail(id, InstanceFault(message: message, createdAt: now), now: now)
        }
        request.state = .waiting
        request.build.instance.fault = InstanceFault(message: reason, createdAt: now)
        if let failedHost { request.excluded.insert(failedHost) }
        request.cell = nil
        request.placedAt = nil
        request.notBefore = isExcused ? now + Placements.pause : nil
        requests[id] = request
        directory.rows[id]?.cell = nil
        directory.rows[id]?.summary.host = nil
        directory.rows[id]?.summary.updatedAt = now
        directory.nudges.append(.buildRequests)
    }

    // MARK: The end of a server

    /// - Parameter cell: `nil` for any: what an attempt that was given up left in another cell is deleted there, too.
    func isDeleteWanted(_ id: ServerID, in cell: CellPath? = nil) -> Bool {
        commands.values.contains { queued in
            let command = queued.command
            return command.serverID == id && command.action == .delete && (cell.map { $0 == command.cell } ?? true)
        }
    }

    /// Whether it deletes what its cell has not said to be built: see ``RootStore/complete(_:)``.
    func isBuilding(_ command: QueuedCommand) -> Bool {
        guard command.action == .delete, let request = requests[command.serverID] else { return false }
        return request.cell == command.cell && [.placed, .sent].contains(request.state)
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
