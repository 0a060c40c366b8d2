import CellProtocol
import CloudModel
import Foundation
import Persistence
import PlacementCore
import PostgresClient
import Primitives
import ServerLifecycle
import TestSupport
import Testing

/// The root's side of the cells API on a real database: an operator's word and the scheduler that obeys it.
@Suite(.enabled(if: PrivatePostgres.isInstalled, "PostgreSQL is not installed"), .timeLimit(.minutes(5)))
struct CellRegistryTests {
    private static func order(_ state: PlacementOrder.State, _ reason: String? = nil) -> PlacementOrder {
        PlacementOrder(state, reason: reason, since: RootFixture.now)
    }

    @Test(arguments: [PlacementOrder.State.disabled, .draining])
    func aClosedCellGetsNoServersAndAnOpenedOneDoes(state: PlacementOrder.State) async throws {
        let fixture = try await RootFixture()
        let cell = try #require(try await fixture.store.order(Self.order(state, "racks"), of: RootFixture.north))
        #expect(cell.order == Self.order(state, "racks"))
        for _ in 0..<4 { _ = try await fixture.accept(RootFixture.newServer(memoryMiB: 256)) }
        #expect(Set(try await fixture.place().map(\.cell)) == [RootFixture.south])
        _ = try await fixture.store.order(Self.order(state), of: RootFixture.south)
        let waiting = try await fixture.accept(RootFixture.newServer())
        #expect(try await fixture.place().isEmpty)
        let failed = try await fixture.store.locate(waiting[0].id)
        #expect(failed?.status == "ERROR")
        _ = try await fixture.store.order(Self.order(.enabled), of: RootFixture.north)
        _ = try await fixture.accept(RootFixture.newServer())
        #expect(try await fixture.place().map(\.cell) == [RootFixture.north])
        #expect(try await fixture.store.order(Self.order(.enabled), of: try #require(CellPath("/west"))) == nil)
    }

    @Test func aClosedHostGetsNoServersWhateverItsCellSays() async throws {
        let fixture = try await RootFixture()
        _ = try await fixture.store.order(Self.order(.disabled), of: RootFixture.south)
        let host = try #require(try await fixture.store.order(Self.order(.draining, "disk"), of: "north-1"))
        #expect(!host.record.isEnabled && host.record.disabledReason == "disk")
        // The cell did not hear of it and says that all is as ever.
        let event = SequencedEvent(
            cell: RootFixture.north, sequence: 3, event: .hostChanged(RootFixture.host(RootFixture.north, 1)))
        _ = try await fixture.store.apply([event], from: RootFixture.north, now: RootFixture.now)
        for _ in 0..<3 { _ = try await fixture.accept(RootFixture.newServer(memoryMiB: 256)) }
        #expect(Set(try await fixture.place().compactMap(\.specification.instance.host)) == ["north-2"])
        let shown = try #require(try await fixture.store.hosts().first { $0.record.name == "north-1" })
        #expect(!shown.record.isEnabled && shown.order.state == .draining)
        let opened = try #require(try await fixture.store.order(Self.order(.enabled), of: "north-1"))
        #expect(opened.record.isEnabled && opened.record.disabledReason == nil)
        #expect(try await fixture.store.order(Self.order(.enabled), of: "west-1") == nil)
    }

    @Test func aPlacementThatHasBegunEndsBeforeAnOrderIsTaken() async throws {
        let fixture = try await RootFixture()
        _ = try await fixture.store.order(Self.order(.disabled), of: RootFixture.south)
        for _ in 0..<8 { _ = try await fixture.accept(RootFixture.newServer(memoryMiB: 64)) }
        // Schedulers run beside the order; what they commit after it is not in the cell.
        let placedAfter = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<4 { group.addTask { try await fixture.place().count } }
            _ = try await fixture.store.order(Self.order(.draining), of: RootFixture.north)
            let known = try await fixture.store.cell(RootFixture.north)?.servers ?? 0
            for try await _ in group {}
            let later = try await fixture.store.cell(RootFixture.north)?.servers ?? 0
            return later - known
        }
        #expect(placedAfter == 0)
    }

    @Test func aCellCountsWhatIsThereAndWhatIsOnItsWay() async throws {
        let fixture = try await RootFixture()
        _ = try await fixture.store.order(Self.order(.disabled), of: RootFixture.south)
        _ = try await fixture.accept(RootFixture.newServer(project: "p1"), RootFixture.newServer(project: "p1"))
        let placed = try await fixture.place()
        #expect(try await fixture.store.cell(RootFixture.north)?.servers == 2)
        try await fixture.store.acknowledge([placed[0]])
        try await fixture.activate(placed[0], sequence: 3)
        let cell = try #require(try await fixture.store.cell(RootFixture.north))
        #expect(cell.servers == 2 && cell.building == 1)
        #expect(cell.hosts == 2 && cell.hostsUp == 2 && cell.hostsOpen == 2)
        #expect(cell.agentVersions == ["test": 2])
        #expect(cell.vcpus == .init(total: 8, usable: 128, used: 2))
        #expect(cell.lastSequence == 3)
        #expect(
            try await fixture.store.cells(after: nil, limit: 10).map(\.path) == [RootFixture.north, RootFixture.south])
        #expect(try await fixture.store.cells(after: RootFixture.north, limit: 10).map(\.path) == [RootFixture.south])
        let hosts = try await fixture.store.hosts(of: RootFixture.north, after: "north-1", limit: 10)
        #expect(hosts.map(\.record.name) == ["north-2"])
    }

    @Test func aCellIsForgottenOnlyWhenItIsEmpty() async throws {
        let fixture = try await RootFixture()
        _ = try await fixture.store.order(Self.order(.disabled), of: RootFixture.south)
        _ = try await fixture.accept(RootFixture.newServer())
        let placed = try await fixture.place()
        #expect(try await fixture.store.retire(RootFixture.north) == .occupied(1))
        try await fixture.store.acknowledge(placed)
        #expect(try await fixture.store.retire(RootFixture.north) == .occupied(1))
        try await fixture.activate(placed[0], sequence: 3)
        let id = placed[0].specification.instance.id
        let gone = SequencedEvent(
            cell: RootFixture.north, sequence: 4,
            event: .instanceDeleted(InstanceDeletion(id: id, version: 9, deletedAt: RootFixture.now)))
        _ = try await fixture.store.apply([gone], from: RootFixture.north, now: RootFixture.now)
        #expect(try await fixture.store.retire(RootFixture.north) == .removed)
        #expect(try await fixture.store.retire(RootFixture.north) == .notFound)
        #expect(try await fixture.store.hosts().map(\.record.cell) == [RootFixture.south, RootFixture.south])
        #expect(try await fixture.count("placement.providers") == 2)
    }

    @Test func theWayOfAServerIsKept() async throws {
        let fixture = try await RootFixture()
        let accepted = try await fixture.accept(RootFixture.newServer())
        let first = try #require(try await fixture.place().first)
        try await fixture.store.refuse(first, reason: "no disk", now: RootFixture.now)
        let second = try #require(try await fixture.place().first)
        let between = try #require(try await fixture.store.locate(accepted[0].id))
        #expect(between.request?.state == "placed" && between.request?.attempts == 1)
        #expect(between.cell == second.cell)
        try await fixture.store.acknowledge([second])
        try await fixture.activate(second, sequence: 3)
        let found = try #require(try await fixture.store.locate(accepted[0].id))
        #expect(found.request == nil && found.cell == second.cell && found.host == second.specification.instance.host)
        #expect(found.placements.map(\.failure) == ["no disk", nil])
        #expect(found.placements.map(\.host) == [first, second].compactMap(\.specification.instance.host))
        #expect(try await fixture.store.locate(ServerID(UUID())) == nil)
    }
}
