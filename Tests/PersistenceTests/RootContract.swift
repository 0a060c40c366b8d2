import CellProtocol
import CloudModel
import FoundationEssentials
import MessageBus
import PlacementCore
import Primitives
import ServerLifecycle
import Testing

/// What the root's database and its stand-in both keep, as far as a supervisor and the API can see it.
struct RootContract<Store: RootStore> {
    static var caller: Caller { Caller(userID: "u1", projectID: "p1", roles: ["member"]) }

    let store: Store
    let acceptance: any ServerAcceptance
    private let now = RootFixture.now
    private let north = RootFixture.north
    private let south = RootFixture.south
    private let hosts: [CellPath: [HostRecord]]

    init(_ store: Store, _ acceptance: any ServerAcceptance) {
        self.store = store
        self.acceptance = acceptance
        hosts = Dictionary(
            uniqueKeysWithValues: [RootFixture.north, RootFixture.south].map { cell in
                (cell, (1...2).map { RootFixture.host(cell, $0) })
            })
    }

    enum Clause: String, CaseIterable, Sendable {
        case placing, gaps, refusals, failures, overcommitting, deletingEarly, deletingLate, deletingAFailure, strays
        case watching, inventories, batches
        case absentCells, absentHosts, ordersOfOperators, givingBack, takingBack, deletingWhatWasGivenBack, lateNews
        case resending
    }

    func check(_ clause: Clause) async throws {
        for cell in [north, south] {
            let endpoint = CellMapping.Endpoint(
                host: "127.0.0.1", port: 5672, vhost: cell.name, user: "parent", password: Secret("s"))
            #expect(try await store.putCell(cell, bus: endpoint, now: now))
            #expect(try await !store.putCell(cell, bus: endpoint, now: now))
            try await setHealth(of: cell, .up)
            for (index, host) in (hosts[cell] ?? []).enumerated() {
                try await apply(Int64(index + 1), .hostChanged(host), from: cell)
            }
        }
        switch clause {
        case .placing: try await placing()
        case .gaps: try await gaps()
        case .refusals: try await refusals()
        case .failures: try await failures()
        case .overcommitting: try await overcommitting()
        case .deletingEarly: try await deletingEarly()
        case .deletingLate: try await deletingLate()
        case .deletingAFailure: try await deletingAFailure()
        case .strays: try await strays()
        case .watching: try await watching()
        case .inventories: try await inventories()
        case .batches: try await batches()
        case .absentCells: try await absentCells()
        case .absentHosts: try await absentHosts()
        case .ordersOfOperators: try await ordersOfOperators()
        case .givingBack: try await givingBack()
        case .takingBack: try await takingBack()
        case .deletingWhatWasGivenBack: try await deletingWhatWasGivenBack()
        case .lateNews: try await lateNews()
        case .resending: try await resending()
        }
    }

    // MARK: Steps

    @discardableResult
    private func apply(_ sequence: Int64, _ event: CellEvent, from cell: CellPath) async throws -> AppliedEvents {
        try await store.apply([SequencedEvent(cell: cell, sequence: sequence, event: event)], from: cell, now: now)
    }

    private func accept(_ server: NewServers.Server = RootFixture.newServer()) async throws -> ServerID {
        try #require(try await acceptance.accept(NewServers(servers: [server], quota: .standard)).first).id
    }

    private func place(at date: Date? = nil) async throws -> [PlacedBuild] {
        try await store.place(limit: 50, now: date ?? now) { pending, snapshot in
            var random = SplitMix(seed: 1)
            return CandidatePlanner().plan(pending.map(\.request), on: snapshot, using: &random)
        }.placed
    }

    private func unacknowledged(at date: Date, limit: Int = 10) async throws -> [PlacedBuild] {
        try await store.unacknowledged(before: date, now: date, retryAt: date + 5, limit: limit)
    }

    private func setHealth(
        of cell: CellPath, _ health: CellStatus.Health, since date: Date? = nil, watcher: String? = nil
    ) async throws {
        let standing = CellStanding(
            path: cell, health: health, reason: health == .up ? nil : "x", since: date ?? now, heartbeat: nil)
        try await store.setHealth([standing], watcher: watcher)
    }

    /// Tells of both hosts of the north, from event `sequence` on.
    private func setHosts(
        from sequence: Int64, isUp: Bool, isEnabled: Bool = true, since date: Date? = nil
    ) async throws {
        for (index, host) in (hosts[north] ?? []).enumerated() {
            var host = host
            (host.isUp, host.isEnabled, host.updatedAt) = (isUp, isEnabled, date ?? now)
            try await apply(sequence + Int64(index), .hostChanged(host), from: north)
        }
    }

    private func running(_ build: PlacedBuild) -> CellEvent {
        var instance = build.specification.instance
        instance.state = ServerState(vm: .active, task: nil, power: .running)
        instance.launchedAt = now
        instance.version += 1
        return .instanceChanged(InstanceSummary(instance))
    }

    private func delete(_ id: ServerID) async throws -> ServerDeletion {
        try await acceptance.delete(id, requestID: "req-2", caller: Self.caller)
    }

    private func due(at date: Date) async throws -> [QueuedCommand] {
        try await store.dueCommands(cells: [north, south], now: date, retryAt: date + 5, limit: 10)
    }

    // MARK: Clauses

    private func placing() async throws {
        let id = try await accept()
        let build = try #require(try await place().first)
        #expect(build.specification.instance.id == id && build.specification.instance.epoch == 1)
        #expect(build.cell == north || build.cell == south)
        #expect(try await place().isEmpty)
        #expect(try await unacknowledged(at: now).isEmpty)
        #expect(try await unacknowledged(at: now + 1) == [build])
        try await store.acknowledge([build])
        #expect(try await unacknowledged(at: now + 60).isEmpty)
        #expect(try await store.audit(of: build.cell) == DirectoryAudit(sequence: 2, servers: 0, digest: 0))
        try await apply(3, running(build), from: build.cell)
        #expect(try await store.audit(of: build.cell).servers == 1)
        // An attempt that runs is not given back any more.
        try await store.refuse(build, reason: "late", now: now)
        #expect(try await place().isEmpty)
    }

    private func gaps() async throws {
        let host = RootFixture.host(north, 3)
        #expect(try await apply(4, .hostChanged(host), from: north).newest == 2)
        #expect(try await apply(3, .hostChanged(host), from: north).newest == 3)
        #expect(try await apply(3, .hostChanged(host), from: north).newest == 3)
    }

    /// What contradicts what is known is passed over, and what comes after it is not.
    private func refusals() async throws {
        let events = [
            SequencedEvent(cell: north, sequence: 3, event: .hostChanged(RootFixture.host(south, 9))),
            SequencedEvent(cell: north, sequence: 4, event: .hostChanged(RootFixture.host(north, 3))),
        ]
        let applied = try await store.apply(events, from: north, now: now)
        #expect(applied.newest == 4 && applied.refused.map(\.sequence) == [3])
        let twin = HostRecord(
            name: "south-1", id: ProviderID(UUID()), cell: north, availabilityZone: "north",
            inventory: RootFixture.host(north, 1).inventory, seenAt: now)
        #expect(try await apply(5, .hostChanged(twin), from: north).refused.map(\.sequence) == [5])
    }

    private func failures() async throws {
        let id = try await accept()
        var hosts: Set<HostName> = []
        for attempt in 1...3 {
            let build = try #require(try await place().first)
            let host = try #require(build.specification.instance.host)
            #expect(hosts.insert(host).inserted && build.specification.instance.epoch == attempt)
            let failure = BuildFailure(id: id, epoch: attempt, host: host, reason: "no disk")
            let sequence = try #require(try await store.cells().first { $0.path == build.cell }?.lastSequence) + 1
            try await apply(sequence, .buildFailed(failure), from: build.cell)
            // An attempt that is over fails once.
            try await store.refuse(build, reason: "again", now: now)
        }
        #expect(try await place().isEmpty)
        #expect(try await delete(id) == .deleted)
        #expect(try await delete(id) == .notFound)
    }

    private func overcommitting() async throws {
        for number in 0..<24 {
            _ = try await accept(RootFixture.newServer(project: ProjectID("p\(number)")))
        }
        var placed = 0
        for _ in 0..<6 { placed += try await place().count }
        // Four hosts of 2048 MiB.
        #expect(placed == 16)
    }

    private func deletingEarly() async throws {
        let id = try await accept()
        #expect(try await delete(id) == .deleted)
        #expect(try await place().isEmpty)
    }

    private func deletingLate() async throws {
        let id = try await accept()
        let build = try #require(try await place().first)
        #expect(try await delete(id) == .requested)
        // The cell must have the server before it can delete it.
        #expect(try await due(at: now + 1).isEmpty)
        try await store.acknowledge([build])
        let command = try #require(try await due(at: now + 1).first)
        #expect(command.serverID == id && command.cell == build.cell && command.action == .delete)
        #expect(try await due(at: now + 2).isEmpty, "it is hidden until it is tried again")
        #expect(try await due(at: now + 7) == [command])
        #expect(try await delete(id) == .requested)
        #expect(try await due(at: now + 20) == [command], "asked for twice, it is one")
        try await apply(3, running(build), from: build.cell)
        try await store.complete(command)
        #expect(try await due(at: now + 40).isEmpty)
        let deletion = InstanceDeletion(id: id, version: 9, deletedAt: now)
        try await apply(4, .instanceDeleted(deletion), from: build.cell)
        #expect(try await delete(id) == .notFound)
        #expect(try await store.audit(of: build.cell).servers == 0)
    }

    /// Who wanted it gone gets no other host for it.
    private func deletingAFailure() async throws {
        let id = try await accept()
        let build = try #require(try await place().first)
        try await store.acknowledge([build])
        #expect(try await delete(id) == .requested)
        try await store.refuse(build, reason: "down", now: now)
        #expect(try await place().isEmpty)
        #expect(try await delete(id) == .notFound)
        #expect(try await due(at: now + 40).isEmpty)
        // Not even when its cell took the delete while the news of the failure was on its way.
        let other = try await accept()
        let attempt = try #require(try await place().first)
        try await store.acknowledge([attempt])
        #expect(try await delete(other) == .requested)
        let command = try #require(try await due(at: now + 41).first)
        try await store.complete(command)
        #expect(try await due(at: now + 60) == [command], "it is sent again until the server is gone")
        let host = try #require(attempt.specification.instance.host)
        let failure = BuildFailure(id: other, epoch: attempt.specification.instance.epoch, host: host, reason: "down")
        try await apply(3, .buildFailed(failure), from: attempt.cell)
        #expect(try await place().isEmpty)
        #expect(try await delete(other) == .notFound)
        #expect(try await due(at: now + 90).isEmpty)
    }

    private func strays() async throws {
        let id = try await accept()
        let first = try #require(try await place().first)
        try await store.acknowledge([first])
        let host = try #require(first.specification.instance.host)
        let failure = BuildFailure(id: id, epoch: 1, host: host, reason: "slow")
        try await apply(3, .buildFailed(failure), from: first.cell)
        var second = try #require(try await place().first)
        while second.cell == first.cell {
            try await store.refuse(second, reason: "the same cell", now: now)
            second = try #require(try await place().first)
        }
        try await apply(3, running(second), from: second.cell)
        // The first attempt succeeds after all.
        try await apply(4, running(first), from: first.cell)
        let command = try #require(try await due(at: now + 1).first)
        #expect(command.cell == first.cell && command.serverID == id && command.roles.contains("admin"))
        // The cell knows nothing of it: only what lives there would end.
        try await store.completeUnknown(command, now: now)
        #expect(try await store.audit(of: second.cell).servers == 1)
        try await strayOfOneThatIsBeingBuilt()
    }

    /// While it waits for its end in one cell, the server's build fails in the other: nobody wanted the server gone.
    private func strayOfOneThatIsBeingBuilt() async throws {
        func tell(_ event: CellEvent, from cell: CellPath) async throws {
            let newest = try #require(try await store.cells().first { $0.path == cell }?.lastSequence)
            try await apply(newest + 1, event, from: cell)
        }
        func failure(_ build: PlacedBuild) throws -> CellEvent {
            let instance = build.specification.instance
            let host = try #require(instance.host)
            return .buildFailed(BuildFailure(id: instance.id, epoch: instance.epoch, host: host, reason: "slow"))
        }
        let id = try await accept()
        let first = try #require(try await place().first)
        try await tell(try failure(first), from: first.cell)
        var second = try #require(try await place().first)
        while second.cell == first.cell {
            try await store.refuse(second, reason: "the same cell", now: now)
            second = try #require(try await place().first)
        }
        try await store.acknowledge([second])
        try await tell(running(first), from: first.cell)
        #expect(try await due(at: now + 30).map(\.cell) == [first.cell])
        try await tell(try failure(second), from: second.cell)
        #expect(try await delete(id) != .notFound)
    }

    private func watching() async throws {
        #expect(try await store.takeWatch(owner: "one", for: .seconds(60)))
        #expect(try await !store.takeWatch(owner: "two", for: .seconds(60)))
        #expect(try await store.takeWatch(owner: "one", for: .seconds(60)))
        try await setHealth(of: north, .down, watcher: "two")
        #expect(try await store.cells().first { $0.path == north }?.health == .up)
        try await setHealth(of: north, .down, watcher: "one")
        #expect(try await store.cells().first { $0.path == north }?.health == .down)
        try await store.releaseWatch(owner: "two")
        #expect(try await !store.takeWatch(owner: "two", for: .seconds(60)))
        try await store.releaseWatch(owner: "one")
        #expect(try await store.takeWatch(owner: "two", for: .seconds(60)))
    }

    private func inventories() async throws {
        let id = try await accept()
        let build = try #require(try await place().first)
        guard case .instanceChanged(let summary) = running(build) else { return }
        let other = build.cell == north ? south : north
        let old = InventoryRequest.Reply(servers: [summary], sequence: 1, isLast: true)
        #expect(try await !store.merge(old, from: build.cell), "events are newer")
        let page = InventoryRequest.Reply(servers: [summary], sequence: 2, isLast: true)
        #expect(try await store.merge(page, from: other))
        #expect(try await store.audit(of: other).servers == 0, "it was placed elsewhere")
        #expect(try await store.merge(page, from: build.cell))
        #expect(try await store.audit(of: build.cell).servers == 1)
        #expect(try await store.missing(of: build.cell, besides: [], createdBefore: now + 1) == [id])
        #expect(try await store.missing(of: build.cell, besides: [id], createdBefore: now + 1).isEmpty)
        try await store.noteLoss(of: build.cell, now: now)
        let loss = try #require(try await store.knownLoss(of: build.cell))
        #expect(try await store.cells().first { $0.path == build.cell }?.isResyncWanted == true)
        try await store.endResync(of: build.cell, loss: loss)
        #expect(try await store.knownLoss(of: build.cell) == nil)
        #expect(try await store.cells().first { $0.path == build.cell }?.isResyncWanted == false)
    }

    /// However many come at once, each means what it means alone.
    private func batches() async throws {
        for _ in 1...3 { _ = try await accept(RootFixture.newServer(zone: "north")) }
        let builds = try await place()
        try await store.acknowledge(builds)
        func told(_ index: Int, _ version: Int64) throws -> InstanceSummary {
            guard builds.count == 3, case .instanceChanged(var summary) = running(builds[index]) else {
                throw CellFailure(message: "three servers should be placed")
            }
            summary.version = version
            return summary
        }
        // Unknown here: a directory that has lost it, told of by two leaves below one child.
        var lost = try told(0, 7)
        lost.id = ServerID(UUID())
        let leaves = ["a", "b"].compactMap { north.child($0) }
        let host = RootFixture.host(leaves[0], 1)
        let events: [(event: CellEvent, origin: CellPath?)] = [
            (.cellChanged(.init(path: leaves[0], health: .up, reason: nil, since: now, heartbeat: nil)), nil),
            (.cellChanged(.init(path: leaves[0], health: .slow, reason: "x", since: now, heartbeat: nil)), nil),
            (.hostChanged(host), leaves[0]), (.instanceChanged(try told(0, 9)), nil),
            (.instanceChanged(try told(0, 8)), nil), (.instanceChanged(try told(1, 9)), leaves[0]),
            (.instanceChanged(lost), leaves[0]), (.instanceChanged(lost), leaves[1]),
            (.instanceDeleted(.init(id: try told(2, 1).id, version: 9, deletedAt: now)), nil),
            (.instanceChanged(try told(1, 9)), nil),
        ]
        let applied = try await store.apply(
            events.enumerated().map {
                SequencedEvent(cell: north, sequence: Int64($0 + 3), event: $1.event, origin: $1.origin)
            }, from: north, now: now)
        #expect(applied == AppliedEvents(newest: Int64(events.count + 2)))
        #expect(try await store.audit(of: north).servers == 3)
        #expect(try await store.audit(of: leaves[0]).servers == 1)
        // Whoever has a server that is elsewhere is to delete it.
        let commands = try await due(at: now + 1)
        let strays = [try told(1, 1).id: leaves[0], lost.id: leaves[1]]
        #expect(Dictionary(commands.map { ($0.serverID, $0.cell) }) { first, _ in first } == strays)
        #expect(commands.count == 2)
    }

    // MARK: Waiting for what is away

    private func absentCells() async throws {
        let id = try await accept(RootFixture.newServer(zone: "north"))
        try await setHealth(of: north, .down)
        #expect(try await place().isEmpty)
        try await setHealth(of: north, .up, since: now + 1)
        #expect(try await place(at: now + 1).isEmpty, "it is not looked at before its pause is over")
        let build = try #require(try await place(at: now + Placements.pause).first)
        #expect(build.specification.instance.id == id && build.cell == north)
        // Another one waits too long, and has failed when the cell is back.
        _ = try await accept(RootFixture.newServer(zone: "north"))
        try await setHealth(of: north, .down)
        for seconds in stride(from: 0, through: Placements.returnLimit, by: Placements.pause) {
            #expect(try await place(at: now + seconds).isEmpty)
        }
        try await setHealth(of: north, .up, since: now + Placements.returnLimit)
        #expect(try await place(at: now + 2 * Placements.returnLimit).isEmpty)
        // Who can go elsewhere does not wait.
        try await setHealth(of: north, .down)
        _ = try await accept()
        #expect(try await place().map(\.cell) == [south])
    }

    private func absentHosts() async throws {
        let id = try await accept(RootFixture.newServer(zone: "north"))
        try await setHosts(from: 3, isUp: false)
        #expect(try await place().isEmpty)
        try await setHosts(from: 5, isUp: true, since: now + 1)
        let build = try #require(try await place(at: now + Placements.pause).first)
        #expect(build.specification.instance.id == id && build.cell == north)
    }

    /// Nobody waits for a host that is not meant to take servers.
    private func ordersOfOperators() async throws {
        _ = try await accept(RootFixture.newServer(zone: "north"))
        try await setHosts(from: 3, isUp: false, isEnabled: false)
        #expect(try await place().isEmpty)
        try await setHosts(from: 5, isUp: true)
        #expect(try await place(at: now + Placements.pause).isEmpty)
    }

    private func givingBack() async throws {
        _ = try await accept()
        var date = now
        for attempt in 1...5 {
            let build = try #require(try await place(at: date).first)
            #expect(build.specification.instance.epoch == attempt)
            try await store.giveBack(build, reason: "away", now: date)
            // What it says now says nothing.
            try await store.acknowledge([build])
            try await store.giveBack(build, reason: "away", now: date)
            #expect(try await place(at: date + 1).isEmpty)
            date += Placements.pause
        }
        // It is not young any more: then attempts count.
        date = now + Placements.patience
        for _ in 1...3 {
            let build = try #require(try await place(at: date).first)
            try await store.giveBack(build, reason: "away", now: date)
        }
        #expect(try await place(at: date + Placements.pause).isEmpty)
    }

    private func takingBack() async throws {
        _ = try await accept()
        let build = try #require(try await place().first)
        try await store.giveBack(build, reason: "away", now: now)
        try await apply(3, running(build), from: build.cell)
        #expect(try await place(at: now + Placements.pause).isEmpty, "it lives")
        #expect(try await store.audit(of: build.cell).servers == 1)
        #expect(try await store.reconcile() == Reconciliation(), "its place is taken")
    }

    private func deletingWhatWasGivenBack() async throws {
        let id = try await accept()
        let build = try #require(try await place().first)
        try await store.giveBack(build, reason: "away", now: now)
        #expect(try await delete(id) == .deleted)
        try await apply(3, running(build), from: build.cell)
        let command = try #require(try await due(at: now + 1).first)
        #expect(command.serverID == id && command.cell == build.cell && command.action == .delete)
    }

    /// News of an attempt that failed are no server.
    private func lateNews() async throws {
        let id = try await accept()
        let build = try #require(try await place().first)
        try await store.acknowledge([build])
        let host = try #require(build.specification.instance.host)
        let failure = BuildFailure(id: id, epoch: 1, host: host, reason: "no disk")
        try await apply(3, .buildFailed(failure), from: build.cell)
        var broken = build.specification.instance
        broken.state = ServerState(vm: .error, task: nil, power: .noState)
        broken.version += 5
        try await apply(4, .instanceChanged(InstanceSummary(broken)), from: build.cell)
        #expect(try await place().first?.specification.instance.epoch == 2)
    }

    private func resending() async throws {
        for _ in 0..<3 { _ = try await accept() }
        #expect(try await place().count == 3)
        func overdue(_ seconds: TimeInterval) async throws -> Set<ServerID> {
            Set(try await unacknowledged(at: now + seconds, limit: 2).map(\.specification.instance.id))
        }
        let first = try await overdue(1)
        let second = try await overdue(1)
        #expect(first.count == 2 && second.count == 1 && first.isDisjoint(with: second))
        #expect(try await overdue(5).isEmpty)
        #expect(try await overdue(6).count == 2)
    }
}
