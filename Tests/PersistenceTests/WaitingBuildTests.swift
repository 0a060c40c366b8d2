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

/// Servers that were accepted while cells or hosts are away for a moment.
@Suite(.enabled(if: PrivatePostgres.isInstalled, "PostgreSQL is not installed"), .timeLimit(.minutes(5)))
struct WaitingBuildTests {
    private static let now = RootFixture.now
    private static let returnLimit = Placements.returnLimit

    enum Absent: CaseIterable { case cell, host, both }

    private func setNorth(_ absent: Absent, isUp: Bool, since date: Date, in root: RootFixture) async throws {
        if absent != .host {
            try await root.pool.execute(
                """
                update directory.cells set health = \(isUp ? "up" : "down"), since = \(date)
                where path = \(RootFixture.north.description)
                """)
        }
        if absent != .cell {
            try await root.pool.execute(
                """
                update directory.hosts set is_up = \(isUp), record = jsonb_set(record, '{updatedAt}',
                    to_jsonb(\(date.timeIntervalSinceReferenceDate)::double precision))
                where cell = \(RootFixture.north.description)
                """)
        }
    }

    private func status(_ id: ServerID, in root: RootFixture) async throws -> String? {
        try await root.store.find(id)?.summary.status
    }

    @Test(arguments: Absent.allCases) func aServerWaitsForWhatWasThereAMomentAgo(absent: Absent) async throws {
        let root = try await RootFixture()
        let server = try #require(try await root.accept(RootFixture.newServer(zone: "north")).first)
        try await setNorth(absent, isUp: false, since: Self.now, in: root)
        #expect(try await root.place().isEmpty)
        #expect(try await status(server.id, in: root) == "BUILD")
        try await setNorth(absent, isUp: true, since: Self.now + 1, in: root)
        #expect(try await root.place(now: Self.now + 1).isEmpty, "it is not looked at before its pause is over")
        let build = try #require(try await root.place(now: Self.now + 2).first)
        #expect(build.cell == RootFixture.north)
    }

    @Test(arguments: Absent.allCases) func itDoesNotWaitForWhatHasBeenAwayForLong(absent: Absent) async throws {
        let root = try await RootFixture()
        let server = try #require(try await root.accept(RootFixture.newServer(zone: "north")).first)
        try await setNorth(absent, isUp: false, since: Self.now, in: root)
        for seconds in stride(from: 0, to: Self.returnLimit, by: 2) {
            #expect(try await root.place(now: Self.now + seconds).isEmpty)
            #expect(try await status(server.id, in: root) == "BUILD")
        }
        #expect(try await root.place(now: Self.now + Self.returnLimit).isEmpty)
        #expect(try await status(server.id, in: root) == "ERROR")
    }

    @Test func itWaitsForNothingThatAlwaysComesAndGoes() async throws {
        let root = try await RootFixture()
        let server = try #require(try await root.accept(RootFixture.newServer(zone: "north")).first)
        for seconds in stride(from: 0, to: Placements.patience, by: 20) {
            try await setNorth(.cell, isUp: false, since: Self.now + seconds, in: root)
            #expect(try await root.place(now: Self.now + seconds).isEmpty)
            #expect(try await status(server.id, in: root) == "BUILD")
        }
        #expect(try await root.place(now: Self.now + Placements.patience).isEmpty)
        #expect(try await status(server.id, in: root) == "ERROR")
    }

    @Test func itGoesWhereThereIsRoomInsteadOfWaiting() async throws {
        let root = try await RootFixture()
        _ = try await root.accept(RootFixture.newServer())
        try await setNorth(.cell, isUp: false, since: Self.now, in: root)
        #expect(try await root.place().first?.cell == RootFixture.south)
    }

    @Test(arguments: [true, false])
    func aServerThatWouldNotFitThereEitherFailsAtOnce(isAnythingAway: Bool) async throws {
        let root = try await RootFixture()
        if isAnythingAway { try await setNorth(.both, isUp: false, since: Self.now, in: root) }
        let server = try #require(try await root.accept(RootFixture.newServer(memoryMiB: 4096)).first)
        #expect(try await root.place().isEmpty)
        #expect(try await status(server.id, in: root) == "ERROR")
    }

    @Test func anOperatorsWordIsNoAbsence() async throws {
        let root = try await RootFixture()
        let server = try #require(try await root.accept(RootFixture.newServer(zone: "north")).first)
        try await setNorth(.cell, isUp: false, since: Self.now, in: root)
        try await root.pool.execute(
            "update directory.hosts set placement = 'disabled' where cell = \(RootFixture.north.description)")
        #expect(try await root.place().isEmpty)
        #expect(try await status(server.id, in: root) == "ERROR")
    }

    @Test func thoseThatWaitHoldUpNobody() async throws {
        let root = try await RootFixture()
        for index in 0..<4 { _ = try await root.accept(RootFixture.newServer("n\(index)", zone: "north")) }
        _ = try await root.accept(RootFixture.newServer("s", zone: "south"))
        try await setNorth(.cell, isUp: false, since: Self.now, in: root)
        var placed: [PlacedBuild] = []
        for _ in 0..<3 { placed += try await root.place(limit: 2) }
        #expect(placed.map(\.cell) == [RootFixture.south])
    }

    // MARK: Attempts that are given back

    @Test func anAttemptThatIsGivenBackDoesNotCount() async throws {
        let root = try await RootFixture()
        let server = try #require(try await root.accept(RootFixture.newServer()).first)
        var now = Self.now
        for _ in 1...7 {
            let build = try #require(try await root.place(now: now).first)
            try await root.store.giveBack(build, reason: "cell \(build.cell) is down", now: now)
            #expect(try await root.usedMemory() == 0)
            #expect(try await root.place(now: now + 1).isEmpty, "it pauses")
            now += 2
        }
        #expect(try await status(server.id, in: root) == "BUILD")
        // It is not young any more.
        now = Self.now + Placements.patience
        for _ in 1...3 {
            let build = try #require(try await root.place(now: now).first)
            try await root.store.giveBack(build, reason: "cell \(build.cell) is down", now: now)
        }
        let row = try #require(try await root.store.find(server.id))
        #expect(row.summary.status == "ERROR" && row.unplaced?.fault?.message.contains("is down") == true)
    }

    @Test func anAttemptThatWasGivenBackAndLivesIsTheServer() async throws {
        let root = try await RootFixture()
        let server = try #require(try await root.accept(RootFixture.newServer()).first)
        let build = try #require(try await root.place().first)
        try await root.store.giveBack(build, reason: "the cell is down", now: Self.now)
        // Its acknowledgement comes late.
        try await root.store.acknowledge([build])
        #expect(try await root.store.find(server.id)?.cell == nil)
        try await root.activate(build, sequence: 3)
        let row = try #require(try await root.store.find(server.id))
        #expect(row.summary.status == "ACTIVE" && row.cell == build.cell)
        #expect(try await root.place(now: Self.now + 5).isEmpty)
        #expect(try await root.count("scheduler.build_requests") == 0)
        #expect(try await root.store.reconcile() == Reconciliation())
        #expect(try await root.usedMemory() == 512)
    }

    @Test func newsOfAnAttemptThatFailedAreNoServer() async throws {
        let root = try await RootFixture()
        let server = try #require(try await root.accept(RootFixture.newServer()).first)
        let build = try #require(try await root.place().first)
        try await root.store.acknowledge([build])
        let id = server.id
        let failure = BuildFailure(
            id: id, epoch: 1, host: try #require(build.specification.instance.host), reason: "no disk")
        var broken = build.specification.instance
        broken.state = ServerState(vm: .error, task: nil, power: .noState)
        broken.version += 5
        let events: [CellEvent] = [.buildFailed(failure), .instanceChanged(InstanceSummary(broken))]
        _ = try await root.store.apply(
            events.enumerated().map { SequencedEvent(cell: build.cell, sequence: Int64(3 + $0), event: $1) },
            from: build.cell, now: Self.now)
        #expect(try await status(id, in: root) == "BUILD")
        #expect(try await root.place().first?.specification.instance.epoch == 2)
    }

    @Test func anAttemptThatLivesAfterItsServerWasDeletedIsDeletedToo() async throws {
        let root = try await RootFixture()
        let server = try #require(try await root.accept(RootFixture.newServer()).first)
        let build = try #require(try await root.place().first)
        try await root.store.giveBack(build, reason: "the cell is down", now: Self.now)
        let deletion = try await root.acceptance.delete(server.id, requestID: "r", caller: RootStoreTests.caller)
        #expect(deletion == .deleted)
        try await root.activate(build, sequence: 3)
        #expect(try await root.store.find(server.id) == nil)
        let command = try #require(try await root.due(cells: [build.cell]).first)
        #expect(command.serverID == server.id && command.action == .delete)
    }

    @Test func whatIsNotAcknowledgedIsSentAgainByTurns() async throws {
        let root = try await RootFixture()
        for index in 0..<3 { _ = try await root.accept(RootFixture.newServer("s\(index)")) }
        #expect(try await root.place().count == 3)
        func overdue(_ seconds: TimeInterval) async throws -> Set<ServerID> {
            Set(
                try await root.store.unacknowledged(
                    before: Self.now + seconds - 5, now: Self.now + seconds, retryAt: Self.now + seconds + 5, limit: 2
                ).map(\.specification.instance.id))
        }
        #expect(try await overdue(5).isEmpty)
        let first = try await overdue(6)
        let second = try await overdue(6)
        #expect(first.count == 2 && second.count == 1 && first.isDisjoint(with: second))
        #expect(try await overdue(7).isEmpty)
        #expect(try await overdue(12).count == 2)
    }
}
