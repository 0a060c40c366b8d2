import CellProtocol
import CloudModel
import FoundationEssentials
import MessageBus
import Persistence
import PlacementCore
import Primitives
import ServerLifecycle
import TestSupport
import Testing

@Suite(.enabled(if: PrivatePostgres.isInstalled, "PostgreSQL is not installed"), .timeLimit(.minutes(5)))
struct RootStoreTests {
    @Test func anAcceptedServerIsPlacedSentAndActive() async throws {
        let root = try await RootFixture()
        let server = try #require(try await root.accept(RootFixture.newServer()).first)
        #expect(try await root.store.find(server.id)?.unplaced?.id == server.id)

        let build = try #require(try await root.place().first)
        #expect(build.specification.instance.epoch == 1)
        #expect(build.specification.instance.host != nil)
        #expect(try await root.usedMemory() == 512)
        #expect(try await root.place().isEmpty, "a placed server is placed once")

        try await root.store.acknowledge([build])
        #expect(try await root.store.find(server.id)?.cell == build.cell)
        try await root.activate(build, sequence: 3)
        let row = try #require(try await root.store.find(server.id))
        #expect(row.summary.status == "ACTIVE")
        #expect(row.summary.host == build.specification.instance.host)
        #expect(try await root.count("scheduler.build_requests") == 0)
    }

    @Test func anOrderThatIsRepeatedAtOnceMakesItsServersOnce() async throws {
        let root = try await RootFixture()
        let order = NewServers(
            servers: [RootFixture.newServer(), RootFixture.newServer()], quota: .standard, isRepeatable: true)
        let ids = order.servers.map(\.build.instance.id)
        let acceptance = root.acceptance
        try await withThrowingTaskGroup(of: [ServerID].self) { group in
            for _ in 0..<4 { group.addTask { try await acceptance.accept(order).map(\.id) } }
            for try await accepted in group { #expect(accepted == ids) }
        }
        #expect(try await root.count("directory.instances") == 2)
        #expect(try await root.count("quota.uses") == 2)
        #expect(try await root.count("scheduler.build_requests") == 2)
    }

    @Test func anEventIsAppliedOnceAndNeverPastAGap() async throws {
        let root = try await RootFixture()
        let host = RootFixture.host(RootFixture.north, 3)
        let event = SequencedEvent(cell: RootFixture.north, sequence: 3, event: .hostChanged(host))
        let later = SequencedEvent(cell: RootFixture.north, sequence: 5, event: .hostChanged(host))
        #expect(try await root.store.apply([event], from: RootFixture.north, now: RootFixture.now).newest == 3)
        #expect(try await root.store.apply([event], from: RootFixture.north, now: RootFixture.now).newest == 3)
        #expect(try await root.store.apply([later], from: RootFixture.north, now: RootFixture.now).newest == 3)
        #expect(try await root.store.hosts().count == 5)
    }

    @Test func theFirstWordOfACellMayComeBeforeItsAcknowledgement() async throws {
        let root = try await RootFixture()
        let server = try #require(try await root.accept(RootFixture.newServer()).first)
        let build = try #require(try await root.place().first)
        try await root.activate(build, sequence: 3)
        try await root.store.acknowledge([build])
        let row = try #require(try await root.store.find(server.id))
        #expect(row.cell == build.cell)
        #expect(row.summary.status == "ACTIVE")
    }

    @Test func aFailedBuildReleasesItsClaimAndTriesAnotherHost() async throws {
        let root = try await RootFixture()
        let server = try #require(try await root.accept(RootFixture.newServer()).first)
        let first = try #require(try await root.place().first)
        try await root.store.acknowledge([first])
        let host = try #require(first.specification.instance.host)
        let failure = BuildFailure(id: server.id, epoch: 1, host: host, reason: "no disk")
        let event = SequencedEvent(cell: first.cell, sequence: 3, event: .buildFailed(failure))
        _ = try await root.store.apply([event], from: first.cell, now: RootFixture.now)
        #expect(try await root.usedMemory() == 0)

        let second = try #require(try await root.place().first)
        #expect(second.specification.instance.host != host)
        #expect(second.specification.instance.epoch == 2)
        #expect(second.specification.instance.version > first.specification.instance.version)
    }

    @Test func aServerThatFailsEverywhereEndsInErrorWithTheReason() async throws {
        let root = try await RootFixture()
        let server = try #require(try await root.accept(RootFixture.newServer()).first)
        for _ in 1...3 {
            let build = try #require(try await root.place().first)
            try await root.store.refuse(build, reason: "the disk is full", now: RootFixture.now)
        }
        #expect(try await root.place().isEmpty)
        let row = try #require(try await root.store.find(server.id))
        #expect(row.summary.status == "ERROR")
        #expect(row.unplaced?.fault?.message.contains("the disk is full") == true)
        #expect(try await root.usedMemory() == 0)
    }

    @Test func aServerThatFitsNowhereEndsInError() async throws {
        let root = try await RootFixture()
        let server = try #require(try await root.accept(RootFixture.newServer(memoryMiB: 4096)).first)
        #expect(try await root.place().isEmpty)
        let row = try #require(try await root.store.find(server.id))
        #expect(row.summary.status == "ERROR")
        #expect(row.unplaced?.fault?.message.hasPrefix("No valid host was found.") == true)
    }

    @Test func aZoneIsKeptThroughRetries() async throws {
        let root = try await RootFixture()
        _ = try await root.accept(RootFixture.newServer(zone: "south"))
        let first = try #require(try await root.place().first)
        #expect(first.cell == RootFixture.south)
        try await root.store.refuse(first, reason: "x", now: RootFixture.now)
        #expect(try await root.place().first?.cell == RootFixture.south)
    }

    @Test func schedulersNeverPromiseMoreThanThereIs() async throws {
        let root = try await RootFixture()
        // 4 hosts with 2048 MiB each hold 16 servers of 512 MiB; 24 are wanted, by 6 schedulers at once.
        for index in 0..<24 {
            _ = try await root.accept(RootFixture.newServer("s\(index)", project: ProjectID("p\(index)")))
        }
        let placed = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<6 {
                group.addTask {
                    try await root.store.place(limit: 4, now: RootFixture.now) { pending, snapshot in
                        var random = SystemRandomNumberGenerator()
                        return CandidatePlanner().plan(pending.map(\.request), on: snapshot, using: &random)
                    }.placed.count
                }
            }
            return try await group.reduce(0, +)
        }
        #expect(placed <= 16)
        for host in try await root.store.hosts() { #expect(host.memoryMiBUsed <= 2048) }
        #expect(try await root.usedMemory() == placed * 512)
    }

    @Test func aQuotaHoldsUnderConcurrentRequests() async throws {
        let root = try await RootFixture()
        let accepted = await withTaskGroup(of: Int.self) { group in
            for index in 0..<15 {
                group.addTask {
                    do {
                        return try await root.accept(RootFixture.newServer("s\(index)")).count
                    } catch is QuotaExceeded {
                        return 0
                    } catch {
                        Issue.record("\(error)")
                        return 0
                    }
                }
            }
            return await group.reduce(0, +)
        }
        #expect(accepted == 10)
        #expect(try await root.store.usage(of: "p1").instances == 10)
    }

    // MARK: Deleting

    static let caller = Caller(userID: "u1", projectID: "p1", roles: ["member"])

    @Test func aServerWithoutACellIsDeletedAtOnce() async throws {
        let root = try await RootFixture()
        let server = try #require(try await root.accept(RootFixture.newServer()).first)
        #expect(try await root.acceptance.delete(server.id, requestID: "r", caller: Self.caller) == .deleted)
        #expect(try await root.store.find(server.id) == nil)
        #expect(await root.released.servers == [server.id])
        #expect(try await root.place().isEmpty)
        #expect(try await root.acceptance.delete(server.id, requestID: "r", caller: Self.caller) == .notFound)
    }

    @Test func aDeleteWaitsForItsCellAndEndsWithTheCellsWord() async throws {
        let root = try await RootFixture()
        let server = try #require(try await root.accept(RootFixture.newServer()).first)
        let build = try #require(try await root.place().first)
        try await root.store.acknowledge([build])
        try await root.activate(build, sequence: 3)
        #expect(try await root.acceptance.delete(server.id, requestID: "r", caller: Self.caller) == .requested)
        #expect(try await root.acceptance.delete(server.id, requestID: "r", caller: Self.caller) == .requested)
        #expect(try await root.store.find(server.id)?.summary.state.task == .deleting)

        let other = build.cell == RootFixture.north ? RootFixture.south : RootFixture.north
        #expect(try await root.due(cells: [other]).isEmpty)
        let command = try #require(try await root.due(cells: [build.cell]).first)
        #expect(command.action == .delete)
        #expect(try await root.due(cells: [build.cell]).isEmpty, "it is hidden until its next attempt")
        try await root.store.complete(command)

        let deletion = InstanceDeletion(id: server.id, version: 9, deletedAt: RootFixture.now)
        let event = SequencedEvent(cell: build.cell, sequence: 4, event: .instanceDeleted(deletion))
        _ = try await root.store.apply([event], from: build.cell, now: RootFixture.now)
        #expect(try await root.store.find(server.id) == nil)
        #expect(try await root.usedMemory() == 0)
        #expect(await root.released.servers == [server.id])
    }

    @Test func aDeleteOfAServerThatIsBeingSentWaitsUntilTheCellHasIt() async throws {
        let root = try await RootFixture()
        let server = try #require(try await root.accept(RootFixture.newServer()).first)
        let build = try #require(try await root.place().first)
        #expect(try await root.acceptance.delete(server.id, requestID: "r", caller: Self.caller) == .requested)
        #expect(try await root.due(cells: [build.cell]).isEmpty)
        try await root.store.acknowledge([build])
        #expect(try await root.due(cells: [build.cell]).count == 1)
    }

    @Test func aDeletedServerWhoseAttemptFailsIsGoneAndNotTriedAgain() async throws {
        let root = try await RootFixture()
        let server = try #require(try await root.accept(RootFixture.newServer()).first)
        let build = try #require(try await root.place().first)
        _ = try await root.acceptance.delete(server.id, requestID: "r", caller: Self.caller)
        try await root.store.refuse(build, reason: "cell is down", now: RootFixture.now)
        #expect(try await root.store.find(server.id) == nil)
        #expect(try await root.place().isEmpty)
        #expect(try await root.usedMemory() == 0)
        #expect(try await root.count("outbox.commands") == 0)
    }

    @Test func anAttemptThatCameBackToLifeElsewhereIsDeletedThere() async throws {
        let root = try await RootFixture()
        let server = try #require(try await root.accept(RootFixture.newServer()).first)
        let build = try #require(try await root.place().first)
        try await root.store.acknowledge([build])
        try await root.activate(build, sequence: 3)
        let other = build.cell == RootFixture.north ? RootFixture.south : RootFixture.north
        var ghost = build.specification.instance
        ghost.version = 50
        let event = SequencedEvent(cell: other, sequence: 3, event: .instanceChanged(InstanceSummary(ghost)))
        _ = try await root.store.apply([event], from: other, now: RootFixture.now)
        #expect(try await root.store.find(server.id)?.cell == build.cell)
        let command = try #require(try await root.due(cells: [other]).first)
        #expect(command.serverID == server.id)
        try await root.store.completeUnknown(command, now: RootFixture.now)
        #expect(try await root.store.find(server.id)?.summary.status == "ACTIVE")
    }

    @Test func manyEventsAtOnceMeanWhatTheyMeanOneByOne() async throws {
        let root = try await RootFixture()
        let servers = try await root.accept(
            RootFixture.newServer("a", zone: "north"), RootFixture.newServer("b", zone: "north"),
            RootFixture.newServer("c", zone: "north"))
        let builds = try await root.place()
        try await root.store.acknowledge(builds)
        func summary(_ server: Instance, _ version: Int64, _ name: String) throws -> InstanceSummary {
            var instance = try #require(builds.first { $0.specification.instance.id == server.id }).specification
                .instance
            instance.state = ServerState(vm: .active, task: nil, power: .running)
            (instance.version, instance.name) = (version, name)
            return InstanceSummary(instance)
        }
        // Unknown here: a directory that has lost it, told of by two leaves below one child.
        var lost = try summary(servers[0], 7, "lost")
        lost.id = ServerID(UUID())
        let leaves = ["a", "b"].compactMap { RootFixture.north.child($0) }
        let host = RootFixture.host(leaves[0], 1)
        let told: [(event: CellEvent, origin: CellPath?)] = [
            (
                .cellChanged(.init(path: leaves[0], health: .up, reason: nil, since: RootFixture.now, heartbeat: nil)),
                nil
            ),
            (
                .cellChanged(
                    .init(path: leaves[0], health: .slow, reason: "x", since: RootFixture.now, heartbeat: nil)), nil
            ),
            (.hostChanged(host), leaves[0]),
            (.instanceChanged(try summary(servers[0], 9, "newer")), nil),
            (.instanceChanged(try summary(servers[0], 8, "older")), nil),
            (.instanceChanged(try summary(servers[1], 9, "astray")), leaves[0]),
            (.instanceChanged(lost), leaves[0]), (.instanceChanged(lost), leaves[1]),
            (.instanceDeleted(.init(id: servers[2].id, version: 9, deletedAt: RootFixture.now)), nil),
            (.instanceChanged(try summary(servers[1], 9, "here")), nil),
        ]
        let events = told.enumerated().map { index, told in
            SequencedEvent(
                cell: RootFixture.north, sequence: Int64(index + 3), event: told.event, origin: told.origin)
        }
        let applied = try await root.store.apply(events, from: RootFixture.north, now: RootFixture.now)
        #expect(applied == AppliedEvents(newest: Int64(events.count + 2)))
        #expect(try await root.store.find(servers[0].id)?.summary.name == "newer")
        #expect(try await root.store.find(servers[1].id)?.summary.name == "here")
        #expect(try await root.store.find(servers[2].id) == nil)
        #expect(try await root.store.find(lost.id)?.cell == leaves[0])
        #expect(try await root.store.cellsBelow().map(\.health) == [.slow])
        #expect(try await root.store.host(host.name)?.record.cell == leaves[0])
        // Whoever has a server that is elsewhere is to delete it.
        let commands = try await root.due(cells: [RootFixture.north])
        #expect(Set(commands.map(\.serverID)) == [servers[1].id, lost.id])
        #expect(
            Dictionary(grouping: commands, by: \.serverID).mapValues { $0.map(\.cell) } == [
                servers[1].id: [leaves[0]], lost.id: [leaves[1]],
            ])
        #expect(try await root.count("scheduler.build_requests") == 0)
    }

    // MARK: The directory

    @Test func pagesInEveryOrderMeetEveryRowOnce() async throws {
        let root = try await RootFixture()
        for index in 0..<9 { _ = try await root.accept(RootFixture.newServer("s\(index % 3)")) }
        for sort in [
            [], [DirectorySort(.name, isAscending: true)], [DirectorySort(.host, isAscending: false)],
            [DirectorySort(.name, isAscending: false), DirectorySort(.createdAt, isAscending: true)],
        ] {
            var seen: [ServerID] = []
            var marker: ServerID?
            while true {
                let page = try await root.store.page(
                    DirectoryQuery(projectID: "p1", sort: sort, marker: marker, limit: 2))
                guard let last = page.last else { break }
                seen += page.map(\.summary.id)
                marker = last.summary.id
            }
            #expect(seen.count == 9)
            #expect(Set(seen).count == 9)
        }
    }

    @Test func filtersMeanWhatTheySay() async throws {
        let root = try await RootFixture()
        _ = try await root.accept(RootFixture.newServer("web-1"))
        _ = try await root.accept(RootFixture.newServer("db-1", project: "p2"))
        func names(_ project: ProjectID?, _ filters: DirectoryFilter...) async throws -> [String] {
            try await root.store.page(DirectoryQuery(projectID: project, filters: filters, limit: 10)).map(
                \.summary.name)
        }
        #expect(try await names("p1") == ["web-1"])
        #expect(try await names(nil).count == 2)
        #expect(try await names(nil, .nameMatches("^db")) == ["db-1"])
        #expect(try await names(nil, .statuses(["ACTIVE"])).isEmpty)
        #expect(try await names(nil, .statuses(["BUILD"]), .nameMatches("web")) == ["web-1"])
        #expect(try await names(nil, .taskStates([.scheduling])).count == 2)
        #expect(try await names(nil, .lacksAllTags(["x"])).count == 2)
        await #expect(throws: DirectoryError.invalidPattern("(")) { try await names(nil, .nameMatches("(")) }
        let stranger = ServerID(UUID())
        await #expect(throws: DirectoryError.markerNotFound(stranger)) {
            try await root.store.page(DirectoryQuery(projectID: "p1", marker: stranger, limit: 1))
        }
    }
}

extension RootFixture {
    func due(cells: [CellPath]) async throws -> [QueuedCommand] {
        try await store.dueCommands(
            cells: cells, now: Self.now, retryAt: Self.now.addingTimeInterval(5), limit: 10)
    }
}
