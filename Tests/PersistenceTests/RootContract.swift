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

    init(_ store: Store, _ acceptance: any ServerAcceptance) {
        self.store = store
        self.acceptance = acceptance
    }

    enum Clause: String, CaseIterable, Sendable {
        case placing, gaps, refusals, failures, overcommitting, deletingEarly, deletingLate, deletingAFailure, strays
        case watching, inventories
    }

    func check(_ clause: Clause) async throws {
        for cell in [north, south] {
            let endpoint = CellMapping.Endpoint(
                host: "127.0.0.1", port: 5672, vhost: cell.name, user: "parent", password: Secret("s"))
            #expect(try await store.putCell(cell, bus: endpoint, now: now))
            #expect(try await !store.putCell(cell, bus: endpoint, now: now))
            try await store.setHealth(of: cell, .up, reason: nil, since: now, heartbeat: nil, watcher: nil)
            try await apply(1, .hostChanged(RootFixture.host(cell, 1)), from: cell)
            try await apply(2, .hostChanged(RootFixture.host(cell, 2)), from: cell)
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

    private func place() async throws -> [PlacedBuild] {
        try await store.place(limit: 50, now: now) { pending, snapshot in
            var random = SplitMix(seed: 1)
            return CandidatePlanner().plan(pending.map(\.request), on: snapshot, using: &random)
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
        #expect(try await store.unacknowledged(before: now, limit: 10).isEmpty)
        #expect(try await store.unacknowledged(before: now + 1, limit: 10) == [build])
        try await store.acknowledge([build])
        #expect(try await store.unacknowledged(before: now + 1, limit: 10).isEmpty)
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
    }

    private func watching() async throws {
        #expect(try await store.takeWatch(owner: "one", for: .seconds(60)))
        #expect(try await !store.takeWatch(owner: "two", for: .seconds(60)))
        #expect(try await store.takeWatch(owner: "one", for: .seconds(60)))
        try await store.setHealth(of: north, .down, reason: "x", since: now, heartbeat: nil, watcher: "two")
        #expect(try await store.cells().first { $0.path == north }?.health == .up)
        try await store.setHealth(of: north, .down, reason: "x", since: now, heartbeat: nil, watcher: "one")
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
}
