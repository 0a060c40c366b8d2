import CellProtocol
import CloudModel
import FoundationEssentials
import Persistence
import PlacementCore
import Primitives
import ServerLifecycle
import Synchronization
import TestSupport
import Testing

/// A scheduler that has placed before reads only what changed, and plans with what is true all the same.
@Suite(.enabled(if: PrivatePostgres.isInstalled, "PostgreSQL is not installed"), .timeLimit(.minutes(5)))
struct PlacementPictureTests {
    private let root: RootFixture

    /// Begins with a placement, so that every other one is planned on a picture that is there.
    init() async throws {
        root = try await RootFixture()
        // In the south: the north is to be removed, which a server there would forbid.
        _ = try await root.accept(RootFixture.newServer("first", zone: "south"))
        #expect(try await root.place().count == 1)
    }

    private static let nextServer = Atomic<Int>(0)

    /// What the next placement plans with, by host.
    private func picture(of store: PostgresRootStore? = nil) async throws -> [HostName: PlacementSnapshot.Host] {
        let number = Self.nextServer.add(1, ordering: .relaxed).newValue
        _ = try await root.accept(RootFixture.newServer("s\(number)", project: ProjectID("p\(number)")))
        let seen = Mutex<PlacementSnapshot?>(nil)
        _ = try await (store ?? root.store).place(limit: 1, now: RootFixture.now) { pending, snapshot in
            // Asked once more it is with hosts that are not there.
            seen.withLock { $0 = $0 ?? snapshot }
            return pending.map { _ in [] }
        }
        let snapshot = try #require(seen.withLock { $0 })
        return Dictionary(uniqueKeysWithValues: snapshot.hosts.map { ($0.name, $0) })
    }

    /// What a scheduler sees that has just started and reads everything.
    private func truth() async throws -> [HostName: PlacementSnapshot.Host] {
        try await picture(
            of: PostgresRootStore(
                pool: root.pool,
                ports: PortLedger(
                    reserve: { _, _, _ in ReservedPorts(interfaces: [], securityGroups: []) }, release: { _, _ in },
                    reconcile: { _ in 0 })))
    }

    private func apply(_ hosts: HostRecord..., from cell: CellPath, after sequence: Int64) async throws {
        let events = hosts.enumerated().map {
            SequencedEvent(cell: cell, sequence: sequence + 1 + Int64($0), event: .hostChanged($1))
        }
        #expect(try await root.store.apply(events, from: cell, now: RootFixture.now).refused.isEmpty)
    }

    @Test func hostsThatJoinChangeAndFallSilentAreSeen() async throws {
        try await apply(
            RootFixture.host(RootFixture.north, 3), RootFixture.host(RootFixture.north, 4), from: RootFixture.north,
            after: 2)
        #expect(try await picture()["north-4"]?.isEligible == true)
        var changed = try #require(try await root.store.host("north-3")).record
        changed.inventory.memoryMiB = 9_999
        var silent = try #require(try await root.store.host("north-4")).record
        silent.isUp = false
        try await apply(changed, silent, from: RootFixture.north, after: 4)
        let picture = try await picture()
        #expect(picture["north-3"]?.resources["MEMORY_MB"]?.total == 9_999)
        #expect(picture["north-4"]?.isEligible == false)
        #expect(picture == (try await truth()))
    }

    @Test func claimsAndReleasesOfOthersAreSeen() async throws {
        let other = PostgresRootStore(
            pool: root.pool,
            ports: PortLedger(
                reserve: { _, _, _ in ReservedPorts(interfaces: [], securityGroups: []) }, release: { _, _ in },
                reconcile: { _ in 0 }))
        _ = try await root.accept(RootFixture.newServer("big", memoryMiB: 2048))
        let build = try #require(
            try await other.place(limit: 1, now: RootFixture.now) { pending, snapshot in
                var random = SystemRandomNumberGenerator()
                return CandidatePlanner().plan(pending.map(\.request), on: snapshot, using: &random)
            }.placed.first)
        let host = try #require(build.specification.instance.host)
        #expect(try await picture()[host]?.resources["MEMORY_MB"]?.used == 2048)
        try await root.store.refuse(build, reason: "x", now: RootFixture.now)
        #expect(try await picture()[host]?.resources["MEMORY_MB"]?.used == 0)
        #expect(try await picture() == (try await truth()))
    }

    @Test func anOperatorsWordOnAHostIsSeen() async throws {
        _ = try await root.store.order(PlacementOrder(.draining, since: RootFixture.now), of: "south-1")
        #expect(try await picture()["south-1"]?.isEligible == false)
        _ = try await root.store.order(PlacementOrder(.enabled, since: RootFixture.now), of: "south-1")
        #expect(try await picture()["south-1"]?.isEligible == true)
    }

    @Test func aCellThatGoesDownComesBackOrIsRemovedTakesItsHostsAlong() async throws {
        func eligible() async throws -> [HostName] {
            try await picture().values.filter(\.isEligible).map(\.name).sorted()
        }
        func setSouth(_ health: CellStatus.Health) async throws {
            let standing = CellStanding(
                path: RootFixture.south, health: health, reason: nil, since: RootFixture.now, heartbeat: nil)
            try await root.store.setHealth([standing], watcher: nil)
        }
        try await setSouth(.down)
        #expect(try await eligible() == ["north-1", "north-2"])
        try await setSouth(.up)
        #expect(try await eligible() == ["north-1", "north-2", "south-1", "south-2"])
        _ = try await root.store.removeCell(RootFixture.north)
        #expect(try await picture().keys.sorted() == ["south-1", "south-2"])
        #expect(try await picture() == (try await truth()))
    }
}
