import CellProtocol
import CloudModel
import FoundationEssentials
import Primitives
import ServerLifecycle
import Testing

/// What a branch's database and its stand-in both keep.
struct BranchContract<Store: BranchStore> {
    static var branch: CellPath { CellPath("/eu") ?? .root }

    let store: Store
    private let now = RootFixture.now
    private let first = CellPath("/eu/a") ?? .root
    private let second = CellPath("/eu/b") ?? .root

    init(_ store: Store) { self.store = store }

    enum Clause: String, CaseIterable, Sendable {
        case news, batches, routes, strays, failures, hosts, ends, duties, gaps
    }

    func check(_ clause: Clause) async throws {
        for cell in [first, second] {
            let endpoint = CellMapping.Endpoint(
                host: "-", port: 1, vhost: cell.description, user: "parent", password: Secret("s"))
            _ = try await store.putCell(cell, bus: endpoint, now: now)
        }
        switch clause {
        case .news: try await news()
        case .batches: try await batches()
        case .routes: try await routes()
        case .strays: try await strays()
        case .failures: try await failures()
        case .hosts: try await hosts()
        case .ends: try await ends()
        case .duties: try await duties()
        case .gaps: try await gaps()
        }
    }

    private func summary(_ id: ServerID, _ vm: VMState, version: Int64) -> InstanceSummary {
        var instance = RootFixture.newServer().build.instance
        instance.version = version
        instance.state = ServerState(vm: vm, task: nil, power: .running)
        instance.launchedAt = vm == .building ? nil : now
        var summary = InstanceSummary(instance)
        summary.id = id
        return summary
    }

    private func apply(_ sequence: Int64, _ event: CellEvent, from cell: CellPath) async throws {
        _ = try await store.apply([SequencedEvent(cell: cell, sequence: sequence, event: event)], from: cell, now: now)
    }

    /// What it told upward since it told of its children, with where it comes from.
    private func told() async throws -> [SequencedEvent] {
        let all = try await store.unpublishedEvents(confirmed: nil, limit: 100).map {
            try $0.decoded(of: Self.branch)
        }
        return all.filter { event in
            if case .cellChanged = event.event { false } else { true }
        }
    }

    private func news() async throws {
        let id = ServerID(UUID())
        try await apply(1, .instanceChanged(summary(id, .active, version: 3)), from: first)
        try await apply(2, .instanceChanged(summary(id, .active, version: 2)), from: first)
        let events = try await told()
        #expect(events.map(\.origin) == [first], "what is older is no news")
        let all = try await store.unpublishedEvents(confirmed: nil, limit: 100)
        #expect(all.map(\.sequence) == Array(1...Int64(all.count)), "numbered without gaps")
        let newest = try #require(all.last?.sequence)
        #expect(try await store.unpublishedEvents(confirmed: newest, limit: 100).isEmpty)
        let again = try await store.events(after: newest - 1, limit: 10)
        #expect(again.events == all.suffix(1) && again.newest == newest)
        let page = try await store.inventory(after: nil, limit: 10)
        #expect(page.servers.map(\.id) == [id] && page.origins == [first] && page.isLast && page.sequence == newest)
        #expect(try await store.audit().servers == 1)
    }

    private func routes() async throws {
        let id = ServerID(UUID())
        #expect(try await store.places(of: [id]).leaves.isEmpty)
        try await store.note([id], in: first)
        #expect(try await store.places(of: [id]).leaves == [id: first])
        // Tried elsewhere: what was noted last counts until it is heard of.
        try await store.note([id], in: second)
        #expect(try await store.places(of: [id]).leaves == [id: second])
        try await apply(1, .instanceChanged(summary(id, .active, version: 1)), from: second)
        #expect(try await store.places(of: [id]).leaves == [id: second])
    }

    /// However many come at once, each means what it means alone.
    private func batches() async throws {
        let ids = (1...3).map { _ in ServerID(UUID()) }
        try await store.note([ids[1]], in: second)
        let events: [CellEvent] = [
            .instanceChanged(summary(ids[0], .building, version: 1)),
            .instanceChanged(summary(ids[0], .active, version: 2)),
            .instanceChanged(summary(ids[1], .active, version: 2)),
            .hostChanged(RootFixture.host(first, 1)), .hostChanged(RootFixture.host(second, 2)),
            .instanceChanged(summary(ids[2], .active, version: 1)),
            .instanceDeleted(InstanceDeletion(id: ids[0], version: 3, deletedAt: now)),
        ]
        let applied = try await store.apply(
            events.enumerated().map { SequencedEvent(cell: first, sequence: Int64($0 + 1), event: $1) }, from: first,
            now: now)
        #expect(applied.newest == 7 && applied.refused.map(\.sequence) == [5])
        #expect(try await store.places(of: ids).leaves == [ids[1]: second, ids[2]: first])
        #expect(try await store.audit().servers == 1)
        #expect(try await store.hosts().count == 1)
        let told = try await told()
        #expect(told.count == 6 && told.allSatisfy { $0.origin == first })
    }

    private func strays() async throws {
        let id = ServerID(UUID())
        try await store.note([id], in: second)
        try await apply(1, .instanceChanged(summary(id, .active, version: 5)), from: first)
        #expect(try await store.places(of: [id]).leaves == [id: second], "it lives elsewhere")
        #expect(try await told().map(\.origin) == [first], "and that is told")
        #expect(try await store.audit().servers == 0)
    }

    private func failures() async throws {
        let id = ServerID(UUID())
        try await store.note([id], in: first)
        try await apply(1, .instanceChanged(summary(id, .building, version: 1)), from: first)
        try await apply(2, .buildFailed(BuildFailure(id: id, epoch: 1, host: "h", reason: "x")), from: first)
        #expect(try await store.places(of: [id]).leaves.isEmpty)
        #expect(try await told().count == 2)
    }

    private func hosts() async throws {
        let host = RootFixture.host(first, 1)
        try await apply(1, .hostChanged(host), from: first)
        #expect(try await store.leaves(of: [host.name, "other"]) == [host.name: first])
        #expect(try await store.hosts().map(\.name) == [host.name])
        let wrong = SequencedEvent(cell: first, sequence: 2, event: .hostChanged(RootFixture.host(second, 1)))
        #expect(try await store.apply([wrong], from: first, now: now).refused.map(\.sequence) == [2])
        let beat = CellHeartbeat(
            cell: first, version: "1", sentAt: now, newestSequence: 2, databaseMilliseconds: 1, isDatabaseUp: true,
            conductorsUp: 2, hostsUp: 1, hosts: 1)
        try await store.setHealth(
            [CellStanding(path: first, health: .up, reason: nil, since: now, heartbeat: beat)], watcher: nil)
        let pulse = try await store.pulse()
        #expect(pulse.cells == 2 && pulse.cellsDown == 1 && pulse.conductorsUp == 2)
        #expect(pulse.hosts == 1 && pulse.hostsUp == 1)
        try await store.setHealth(
            [CellStanding(path: first, health: .down, reason: "x", since: now, heartbeat: beat)], watcher: nil)
        #expect(try await store.pulse().hostsUp == 0)
    }

    private func ends() async throws {
        let id = ServerID(UUID())
        try await apply(1, .instanceChanged(summary(id, .active, version: 1)), from: first)
        try await apply(2, .instanceDeleted(InstanceDeletion(id: id, version: 2, deletedAt: now)), from: first)
        #expect(try await store.places(of: [id]).leaves.isEmpty)
        #expect(try await store.audit().servers == 0)
        #expect(try await store.inventory(after: nil, limit: 10).servers.map(\.state.vm) == [.deleted])
        // What is gone stays gone.
        try await apply(3, .instanceChanged(summary(id, .active, version: 3)), from: first)
        #expect(try await store.audit().servers == 0)
        #expect(try await store.pruneServers(deletedBefore: now + 1, limit: 10) == 1)
        #expect(try await store.inventory(after: nil, limit: 10).servers.isEmpty)
    }

    private func duties() async throws {
        #expect(try await store.takeDuty(.publisher, owner: "one", for: .seconds(60)))
        #expect(try await !store.takeDuty(.publisher, owner: "two", for: .seconds(60)))
        #expect(try await store.takeDuty(.pruner, owner: "two", for: .seconds(60)))
        try await store.releaseDuty(.publisher, owner: "one")
        #expect(try await store.takeDuty(.publisher, owner: "two", for: .seconds(60)))
    }

    private func gaps() async throws {
        let id = ServerID(UUID())
        try await store.noteLoss(of: first, now: now)
        #expect(try await store.places(of: [id]).isIncomplete)
        await #expect(throws: IncompleteDirectory(cells: [first])) { try await store.audit() }
        await #expect(throws: IncompleteDirectory(cells: [first])) { try await store.inventory(after: nil, limit: 1) }
        let loss = try await store.knownLoss(of: first)
        let page = InventoryRequest.Reply(servers: [summary(id, .active, version: 1)], sequence: 0, isLast: true)
        #expect(try await store.merge(page, from: first))
        try await store.endResync(of: first, loss: loss)
        #expect(try await store.audit().servers == 1)
        #expect(try await told().map(\.origin) == [first], "what was found is news")
    }
}
