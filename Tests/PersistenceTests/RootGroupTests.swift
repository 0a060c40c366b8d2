import APITestSupport
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

@Suite(.enabled(if: PrivatePostgres.isInstalled, Comment(rawValue: PrivatePostgres.missing)), .timeLimit(.minutes(5)))
struct RootGroupTests {
    @Test(arguments: ServerGroupContract.cases)
    func postgresKeepsTheContract(of test: ServerGroupContract.Case) async throws {
        let root = try await RootFixture()
        try await test.run(root.store, root.acceptance, root.store)
    }

    @Test("a policy holds for servers that many schedulers place at once", arguments: ServerGroup.Policy.allCases)
    func policiesHoldUnderConcurrency(policy: ServerGroup.Policy) async throws {
        let root = try await RootFixture()
        let group = try await root.group(policy)
        // Each accepted by itself, on 4 hosts that hold 4 each, by 6 schedulers that take what they find.
        let count = policy == .softAffinity ? 6 : 4
        for index in 0..<count { _ = try await root.accept(in: group, RootFixture.newServer("s\(index)")) }
        try await root.placeAll(schedulers: 6)
        let servers = try await root.serversByHost()
        switch policy {
        case .affinity: #expect(servers.values.sorted() == [4])
        case .antiAffinity, .softAntiAffinity: #expect(servers.values.sorted() == [1, 1, 1, 1])
        case .softAffinity: #expect(servers.values.sorted() == [2, 4])
        }
        if policy == .antiAffinity {
            let fifth = try #require(try await root.accept(in: group, RootFixture.newServer("fifth")).first)
            #expect(try await root.place().isEmpty)
            #expect(try await root.store.find(fifth.id)?.summary.status == "ERROR")
        }
    }

    @Test func aRuleOfServersPerHostIsCountedExactly() async throws {
        let root = try await RootFixture()
        let group = try await root.group(.antiAffinity, serversPerHost: 2)
        for index in 0..<10 { _ = try await root.accept(in: group, RootFixture.newServer("s\(index)")) }
        try await root.placeAll(schedulers: 4)
        #expect(try await root.serversByHost().values.sorted() == [2, 2, 2, 2])
        #expect(
            try await root.store.page(DirectoryQuery(projectID: "p1", filters: [.statuses(["ERROR"])], limit: 9)).count
                == 2)
    }

    @Test func whoLeavesMakesRoom() async throws {
        let root = try await RootFixture()
        let group = try await root.group(.antiAffinity)
        var builds: [PlacedBuild] = []
        for index in 0..<4 {
            _ = try await root.accept(in: group, RootFixture.newServer("s\(index)"))
            builds += try await root.place()
        }
        let gone = try #require(builds.first)
        let id = gone.specification.instance.id
        let deletion = InstanceDeletion(id: id, version: 9, deletedAt: RootFixture.now)
        let event = SequencedEvent(cell: gone.cell, sequence: 3, event: .instanceDeleted(deletion))
        _ = try await root.store.apply([event], from: gone.cell, now: RootFixture.now)
        #expect(try await root.store.group(group)?.members.contains(id) == false)
        _ = try await root.accept(in: group, RootFixture.newServer("next"))
        #expect(try await root.place().first?.specification.instance.host == gone.specification.instance.host)
    }

    @Test func aMemberThatMustMoveOnStaysWithItsGroup() async throws {
        let root = try await RootFixture()
        let group = try await root.group(.antiAffinity)
        for index in 0..<3 { _ = try await root.accept(in: group, RootFixture.newServer("s\(index)")) }
        let builds = try await root.place()
        let hosts = builds.compactMap(\.specification.instance.host)
        try await root.store.refuse(builds[0], reason: "no disk", now: RootFixture.now)
        let again = try #require(try await root.place().first?.specification.instance.host)
        #expect(!hosts.contains(again), "the fourth host: its own failed, two have members")
    }

    @Test func aServerWhoseHostWasTakenIsPlannedAgain() async throws {
        let root = try await RootFixture()
        let group = try await root.group(.affinity)
        for index in 0..<2 { _ = try await root.accept(in: group, RootFixture.newServer("s\(index)")) }
        // A plan that others have overtaken: the first comes to its alternate, the second must follow it there.
        let placed = try await root.store.place(limit: 2, now: RootFixture.now) { pending, _ in
            #expect(pending.count == 2)
            return [["nowhere", "south-2"], ["north-1"]]
        }.placed
        #expect(placed.map(\.specification.instance.host) == ["south-2"])
        #expect(try await root.place().map(\.specification.instance.host) == ["south-2"])
        #expect(try await root.serversByHost() == ["south-2": 2])
    }

    @Test func aServerThatLosesEveryClaimFailsInTheEnd() async throws {
        let root = try await RootFixture()
        let server = try #require(try await root.accept(RootFixture.newServer()).first)
        for _ in 0..<5 {
            _ = try await root.store.place(limit: 1, now: RootFixture.now) { pending, _ in
                pending.map { _ in ["nowhere"] }
            }
        }
        #expect(try await root.store.find(server.id)?.summary.status == "ERROR")
    }

    @Test func hintsNameServersOfTheProject() async throws {
        let root = try await RootFixture()
        let first = try await root.placed(RootFixture.newServer("first"))
        let firstHost = try #require(first.specification.instance.host)
        func hinted(_ hint: String, project: ProjectID = "p1") -> NewServers.Server {
            var server = RootFixture.newServer("hinted", project: project)
            server.build.instance.schedulerHints = [
                hint: .string(first.specification.instance.id.description)
            ]
            return server
        }
        #expect(try await root.placed(hinted("same_host")).specification.instance.host == firstHost)
        for _ in 0..<6 {
            #expect(try await root.placed(hinted("different_host")).specification.instance.host != firstHost)
        }
        _ = try await root.accept(hinted("same_host", project: "p2"))
        #expect(try await root.place().isEmpty, "of other projects' servers nobody learns the host")
    }

    @Test func aGroupsQuotaHoldsUnderConcurrentRequests() async throws {
        let root = try await RootFixture()
        let made = await withTaskGroup(of: Int.self) { tasks in
            for index in 0..<12 {
                tasks.addTask {
                    let group = ServerGroup(
                        id: ServerGroupID(UUID()), projectID: "p1", userID: UserID("u\(index % 2)"), name: "g",
                        policy: .affinity, createdAt: RootFixture.now)
                    do {
                        try await root.store.insert(group, limit: 5, userLimit: 3)
                        return 1
                    } catch is QuotaExceeded {
                        return 0
                    } catch {
                        Issue.record("\(error)")
                        return 0
                    }
                }
            }
            return await tasks.reduce(0, +)
        }
        #expect(made == 5)
        #expect(try await root.store.groupCount(of: "p1", user: "u0") <= 3)
    }
}

extension RootFixture {
    func group(_ policy: ServerGroup.Policy, serversPerHost: Int? = nil) async throws -> ServerGroupID {
        let group = ServerGroup(
            id: ServerGroupID(UUID()), projectID: "p1", userID: "u1", name: "g", policy: policy,
            serversPerHost: serversPerHost, createdAt: Self.now)
        try await store.insert(group, limit: -1, userLimit: nil)
        return group.id
    }

    func accept(in group: ServerGroupID, _ server: NewServers.Server) async throws -> [Instance] {
        try await acceptance.accept(NewServers(servers: [server], quota: .standard, group: group))
    }

    /// Several schedulers at once, until nothing waits.
    func placeAll(schedulers: Int) async throws {
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            for _ in 0..<schedulers {
                tasks.addTask {
                    while try await waiting() > 0 { _ = try await place(limit: 2) }
                }
            }
            try await tasks.waitForAll()
        }
    }

    private func waiting() async throws -> Int {
        try await pool.query("select count(*) from scheduler.build_requests where state = 'waiting'").scalar() ?? 0
    }

    func serversByHost() async throws -> [HostName: Int] {
        let rows = try await pool.query(
            "select host, count(*) as servers from scheduler.build_requests where host is not null group by host")
        return try rows.reduce(into: [:]) { $0[HostName(try $1.get("host"))] = try $1.get("servers") }
    }
}
