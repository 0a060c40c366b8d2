import CellProtocol
import CloudModel
import FoundationEssentials
import MessageBus
import Persistence
import PostgresClient
import Primitives
import ServerLifecycle
import TestSupport
import Testing

/// A directory that loses rows: says so, and has them again.
@Suite(.enabled(if: PrivatePostgres.isInstalled, "PostgreSQL is not installed"), .timeLimit(.minutes(5)))
struct DirectoryLossTests {
    private static let caller = Caller(userID: "u1", projectID: "p1", roles: ["member"])

    /// Two active servers in cells and one that waits for a host.
    private struct Cloud {
        let root: RootFixture
        var placed: [PlacedBuild] = []
        var waiting: Instance

        init() async throws {
            root = try await RootFixture()
            for _ in 0..<2 {
                _ = try await root.accept(RootFixture.newServer())
                let build = try #require(try await root.place().first)
                try await root.store.acknowledge([build])
                placed.append(build)
            }
            for (index, build) in placed.enumerated() {
                let earlier = placed[..<index].filter { $0.cell == build.cell }.count
                try await root.activate(build, sequence: Int64(3 + earlier))
            }
            waiting = try #require(try await root.accept(RootFixture.newServer(memoryMiB: 1)).first)
        }

        func list() async throws -> DirectoryPage {
            try await root.store.list(DirectoryQuery(projectID: "p1", limit: 10))
        }

        func inventory(of cell: CellPath, at sequence: Int64 = 100) -> InventoryRequest.Reply {
            let servers = placed.filter { $0.cell == cell }.map { build in
                var instance = build.specification.instance
                instance.state = ServerState(vm: .active, task: nil, power: .running)
                instance.version += 1
                return InstanceSummary(instance)
            }
            return InventoryRequest.Reply(servers: servers, sequence: sequence, isLast: true)
        }

        func resync() async throws {
            for cell in [RootFixture.north, RootFixture.south] {
                let loss = try await root.store.knownLoss(of: cell)
                #expect(try await root.store.merge(inventory(of: cell), from: cell))
                try await root.store.endResync(of: cell, loss: loss)
            }
            _ = try await root.store.restoreUnplaced()
        }
    }

    @Test(arguments: ["truncate directory.instances", "delete from directory.instances"])
    func whatIsLostIsSaidAndComesBack(_ sql: String) async throws {
        let cloud = try await Cloud()
        let before = try await cloud.list()
        #expect(before.rows.count == 3 && before.gaps.isEmpty)
        _ = try await cloud.root.pool.execute("\(raw: sql)")

        let lost = try await cloud.list()
        #expect(lost.rows.isEmpty)
        let cells = Set(cloud.placed.map(\.cell)).union([.root])
        #expect(Set(lost.gaps).isSuperset(of: cells))
        await #expect(throws: DirectoryError.incomplete) { try await cloud.root.store.find(cloud.waiting.id) }
        await #expect(throws: DirectoryError.incomplete) {
            try await cloud.root.store.page(DirectoryQuery(projectID: "p1", marker: cloud.waiting.id, limit: 1))
        }
        let mappings = try await cloud.root.store.cells()
        #expect(mappings.filter(\.isResyncWanted).map(\.path).allSatisfy { lost.gaps.contains($0) })
        #expect(try await cloud.root.store.usage(of: "p1").instances == 3, "quotas count on")
        #expect(try await cloud.root.store.reconcile() == Reconciliation(), "and are left alone")

        try await cloud.resync()
        let after = try await cloud.list()
        #expect(after.gaps.isEmpty)
        #expect(Set(after.rows.map(\.summary.id)) == Set(before.rows.map(\.summary.id)))
        for row in before.rows {
            let again = try #require(after.rows.first { $0.summary.id == row.summary.id })
            #expect(again.summary == row.summary || row.cell != nil)
            #expect(again.cell == row.cell)
            #expect(again.summary.status == row.summary.status)
            #expect(again.unplaced?.id == row.unplaced?.id)
        }
        #expect(try await cloud.root.store.reconcile() == Reconciliation())
        #expect(try await cloud.root.place().map(\.specification.instance.id) == [cloud.waiting.id])
    }

    @Test func aLossDuringAResyncIsNotMadeGoodByIt() async throws {
        let cloud = try await Cloud()
        let cell = cloud.placed[0].cell
        _ = try await cloud.root.pool.execute("truncate directory.instances")
        let loss = try await cloud.root.store.knownLoss(of: cell)
        #expect(try await cloud.root.store.merge(cloud.inventory(of: cell), from: cell))
        _ = try await cloud.root.pool.execute("truncate directory.instances")
        try await cloud.root.store.endResync(of: cell, loss: loss)
        #expect(try await cloud.list().gaps.contains(cell))
    }

    @Test func anInventoryThatEventsHaveOvertakenIsNotTaken() async throws {
        let cloud = try await Cloud()
        let cell = cloud.placed[0].cell
        _ = try await cloud.root.pool.execute("truncate directory.instances")
        #expect(try await cloud.root.store.merge(cloud.inventory(of: cell, at: 2), from: cell) == false)
        #expect(try await cloud.list().rows.isEmpty)
    }

    @Test func anInventoryTakesNothingThatIsNewerOrElsewhere() async throws {
        let cloud = try await Cloud()
        let build = cloud.placed[0]
        let other = build.cell == RootFixture.north ? RootFixture.south : RootFixture.north
        var ghost = build.specification.instance
        ghost.version = 50
        ghost.name = "ghost"
        let page = InventoryRequest.Reply(servers: [InstanceSummary(ghost)], sequence: 100, isLast: true)
        #expect(try await cloud.root.store.merge(page, from: other))
        var old = build.specification.instance
        old.version = 0
        old.name = "old"
        let stale = InventoryRequest.Reply(servers: [InstanceSummary(old)], sequence: 100, isLast: true)
        #expect(try await cloud.root.store.merge(stale, from: build.cell))
        let row = try #require(try await cloud.root.store.find(ghost.id))
        #expect(row.summary.name == "web" && row.cell == build.cell)
    }

    @Test func aServerThatWasToBeDeletedStillIs() async throws {
        let cloud = try await Cloud()
        let build = cloud.placed[0]
        let id = build.specification.instance.id
        _ = try await cloud.root.acceptance.delete(id, requestID: "r", caller: Self.caller)
        _ = try await cloud.root.pool.execute("truncate directory.instances")
        try await cloud.resync()
        #expect(try await cloud.root.store.find(id)?.summary.state.task == .deleting)
        let deletion = InstanceDeletion(id: id, version: 9, deletedAt: RootFixture.now)
        let applied = try await cloud.root.store.cells().first { $0.path == build.cell }?.lastSequence ?? 0
        let event = SequencedEvent(cell: build.cell, sequence: applied + 1, event: .instanceDeleted(deletion))
        _ = try await cloud.root.store.apply([event], from: build.cell, now: RootFixture.now)
        #expect(try await cloud.root.store.find(id) == nil)
        #expect(try await cloud.root.store.usage(of: "p1").instances == 2)
    }

    @Test func anEventBringsALostRowBack() async throws {
        let cloud = try await Cloud()
        let build = cloud.placed[0]
        _ = try await cloud.root.pool.execute("truncate directory.instances")
        let applied = try await cloud.root.store.cells().first { $0.path == build.cell }?.lastSequence ?? 0
        try await cloud.root.activate(build, sequence: applied + 1)
        let row = try #require(try await cloud.root.store.find(build.specification.instance.id))
        #expect(row.cell == build.cell && row.summary.status == "ACTIVE")
        #expect(row.summary.createdAt == build.specification.instance.createdAt)
    }

    @Test func theSumOfACellIsTheSameOnBothSides() async throws {
        let cloud = try await Cloud()
        let wallClock = SystemWallClock()
        for cell in [RootFixture.north, RootFixture.south] {
            let store = InMemoryCellStore(cell: cell, wallClock: wallClock)
            for build in cloud.placed where build.cell == cell {
                var instance = build.specification.instance
                instance.state = ServerState(vm: .active, task: nil, power: .running)
                let server = StoredServer(
                    instance: instance, build: BuildContext(requestID: "r", publicKey: nil, image: nil))
                _ = try await store.transact(CellScope()) { _ in
                    var changes = CellChanges()
                    changes.servers[server.instance.id] = server
                    return CellDecision(changes, true)
                }
            }
            let theirs = try await store.audit()
            let ours = try await cloud.root.store.audit(of: cell)
            #expect(theirs.servers == ours.servers && theirs.digest == ours.digest)
        }
    }

    @Test func whatCountsAgainstQuotasIsProvedAndMended() async throws {
        let cloud = try await Cloud()
        _ = try await cloud.root.pool.execute(
            "delete from quota.uses where instance_id = \(cloud.waiting.id)")
        _ = try await cloud.root.pool.execute(
            "insert into quota.uses values (gen_random_uuid(), 'p1', 'u1', 8, 8192)")
        _ = try await cloud.root.pool.execute(
            "update quota.uses set vcpus = 7 where instance_id = \(cloud.placed[0].specification.instance.id)")
        #expect(try await cloud.root.store.reconcile().uses == 3)
        #expect(
            try await cloud.root.store.usage(of: "p1")
                == ComputeUsage(instances: 3, cores: 3, memoryMiB: 512 + 512 + 1))
        #expect(try await cloud.root.store.reconcile() == Reconciliation())
    }
}
