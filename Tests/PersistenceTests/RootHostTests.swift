import CellProtocol
import CloudModel
import FoundationEssentials
import Persistence
import PlacementCore
import PostgresClient
import Primitives
import ServerLifecycle
import TestSupport
import Testing

/// What the root makes of what cells say about their hosts.
@Suite(.enabled(if: PrivatePostgres.isInstalled, "PostgreSQL is not installed"), .timeLimit(.minutes(5)))
struct RootHostTests {
    private let root: RootFixture

    init() async throws { root = try await RootFixture() }

    /// Applies events of a cell, numbered on from those of the fixture.
    private func apply(_ hosts: [HostRecord], from cell: CellPath) async throws -> AppliedEvents {
        let events = hosts.enumerated().map {
            SequencedEvent(cell: cell, sequence: Int64($0.offset + 3), event: .hostChanged($0.element))
        }
        return try await root.store.apply(events, from: cell, now: RootFixture.now)
    }

    private func record(_ name: HostName) async throws -> HostRecord? {
        try await root.store.hosts().first { $0.record.name == name }?.record
    }

    @Test func aHostThatClaimsAnothersProviderIsRefusedAndTheFeedGoesOn() async throws {
        let victim = try #require(try await record("north-1"))
        var impostor = RootFixture.host(RootFixture.south, 3)
        impostor.id = victim.id
        let applied = try await apply([impostor, RootFixture.host(RootFixture.south, 4)], from: RootFixture.south)
        #expect(applied.newest == 4)
        #expect(applied.refused.map(\.sequence) == [3])
        #expect(applied.refused.first?.reason.contains("north-1") == true)
        #expect(try await record("north-1") == victim)
        #expect(try await record("south-3") == nil)
        #expect(try await record("south-4") != nil)
        // What was refused is over, too.
        let later = SequencedEvent(
            cell: RootFixture.south, sequence: 5, event: .hostChanged(RootFixture.host(RootFixture.south, 5)))
        let next = try await root.store.apply([later], from: RootFixture.south, now: RootFixture.now)
        #expect(next == AppliedEvents(newest: 5))
    }

    @Test func anEventThatTheDatabaseCannotTakeIsRefusedByItself() async throws {
        var absurd = RootFixture.host(RootFixture.south, 1)
        absurd.inventory.vcpus = -1
        let applied = try await apply([absurd, RootFixture.host(RootFixture.south, 3)], from: RootFixture.south)
        #expect(applied.newest == 4)
        #expect(applied.refused.map(\.sequence) == [3])
        #expect(try await record("south-1")?.inventory.vcpus == 4)
        #expect(try await record("south-3") != nil)
    }

    @Test func aCellSpeaksOnlyOfItsOwnHosts() async throws {
        let foreign = RootFixture.host(RootFixture.north, 9)
        let applied = try await apply([foreign], from: RootFixture.south)
        #expect(applied.newest == 3)
        #expect(applied.refused.count == 1)
        #expect(try await record("north-9") == nil)
    }

    @Test func aNameBelongsToTheCellWhereTheHostIsUp() async throws {
        var taken = RootFixture.host(RootFixture.south, 3)
        taken.name = "north-1"
        #expect(try await apply([taken], from: RootFixture.south).refused.count == 1)
        #expect(try await record("north-1")?.cell == RootFixture.north)
        // A host that was moved: its old cell says that it is down.
        var down = try #require(try await record("north-1"))
        down.isUp = false
        #expect(try await apply([down], from: RootFixture.north).refused.isEmpty)
        let event = SequencedEvent(cell: RootFixture.south, sequence: 4, event: .hostChanged(taken))
        let moved = try await root.store.apply([event], from: RootFixture.south, now: RootFixture.now)
        #expect(moved.refused.isEmpty)
        #expect(try await record("north-1") == taken)
    }

    @Test func aHostWithANewIDKeepsItsServersPlaces() async throws {
        let server = try #require(try await root.accept(RootFixture.newServer(zone: "south")).first)
        let build = try #require(try await root.place().first)
        let name = try #require(build.specification.instance.host)
        var host = try #require(try await record(name))
        host.id = ProviderID(UUID())
        let applied = try await apply([host], from: RootFixture.south)
        #expect(applied == AppliedEvents(newest: 3))

        let usage = try #require(try await root.store.hosts().first { $0.record.name == name })
        #expect(usage.record.id == host.id)
        #expect(usage.memoryMiBUsed == 512)
        #expect(try await root.count("placement.providers") == 4)
        // It is chosen as before, and gives back what its server had.
        for index in 0..<7 { _ = try await root.accept(RootFixture.newServer("s\(index)", zone: "south")) }
        #expect(try await root.place().filter { $0.specification.instance.host == name }.count == 3)
        try await root.store.refuse(build, reason: "x", now: RootFixture.now)
        #expect(try await root.store.find(server.id) != nil)
        #expect(try await root.store.hosts().first { $0.record.name == name }?.memoryMiBUsed == 3 * 512)
    }
}
