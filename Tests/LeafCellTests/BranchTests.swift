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

/// What a branch does when what lies below it is ill, away, or has been lost.
@Suite(.serialized, .timeLimit(.minutes(3)), .enabled(if: PrivatePostgres.isInstalled, "needs PostgreSQL"))
struct BranchTests {
    private static let branches: [CellTree.Kind] = [.branchOverLeaves, .branchOverBranches]

    @Test(arguments: branches) func aRequestForALeafGoesThroughUnread(kind: CellTree.Kind) async throws {
        try await CellTree.with(kind) { cell in
            let build = makeBuild(makeInstance(host: "host-2"))
            let id = build.instance.id
            let leaf = kind.leaves[1]
            #expect(try await cell.call(BuildRequest(builds: [build]), of: leaf).accepted == [id])
            // The branch knows where it is, though nobody told it which servers these were.
            #expect(try await cell.show([id]).rows.map(\.id) == [id])
            try await eventually("it runs") { cell.states(of: id).last == .active }
            let view = fullView
            #expect(try await cell.call(GetRequest(ids: [id], view: view), of: leaf).rows.map(\.id) == [id])
            await #expect(throws: CellFailure(message: "there is no cell /north/z", absence: .unknownCell)) {
                try await cell.call(PingRequest(), of: path("/north/z"))
            }
            // A leaf is the end of the way: it answers for itself.
            #expect(try await cell.call(GetRequest(ids: [id], view: view), of: kind.leaves[0]).rows.isEmpty)
        }
    }

    @Test(arguments: branches) func aPageIsReadWhereTheAskerSaysThatItIs(kind: CellTree.Kind) async throws {
        try await CellTree.with(kind) { cell in
            let here = try await cell.boot(on: "host-1")
            let there = try await cell.boot(on: "host-2")
            func rows(_ places: [(ServerID, CellPath)]) async throws -> Set<ServerID> {
                let places = places.map { (id: $0.0, leaf: $0.1) }
                return Set(try await cell.call(GetRequest(places, in: testCell, view: fullView)).rows.map(\.id))
            }
            #expect(try await rows([(here, kind.leaves[0]), (there, kind.leaves[1])]) == [here, there])
            // The branch knows better, and is not asked.
            #expect(try await rows([(here, kind.leaves[1]), (there, kind.leaves[1])]) == [there])
            // Here it is: nothing of that lies below it.
            #expect(try await rows([(here, kind.leaves[0]), (there, path("/south/b"))]) == [here, there])
        }
    }

    @Test(arguments: branches) func aDeadLeafCostsItsOwnRowsOnlyAndIsToldOf(kind: CellTree.Kind) async throws {
        try await CellTree.with(kind) { cell in
            let here = try await cell.boot(on: "host-1")
            let there = try await cell.boot(on: "host-2")
            let dead = kind.leaves[1]
            cell.broker(dead).setReachable(false)
            try await eventually("told that it is down") {
                cell.parent.events.contains { event in
                    guard case .cellChanged(let standing) = event else { return false }
                    return standing.path == dead && standing.health == .down && standing.heartbeat != nil
                }
            }
            try await eventually("counted") {
                let beat = cell.parent.heartbeats.last
                return beat?.cellsDown == 1 && beat?.hostsUp == 1 && beat?.hosts == 2
            }
            let page = try await cell.show([here, there])
            #expect(page.rows.map(\.id) == [here])
            #expect(page.unreachable == [there])
            await #expect(throws: CellFailure.self) { try await cell.call(ActRequest(id: there, action: .stop)) }
            do {
                _ = try await cell.call(ActRequest(id: there, action: .stop), of: dead)
                Issue.record("a dead leaf answered")
            } catch let failure as CellFailure {
                #expect(failure.absence == .unreachable)
            }
            cell.broker(dead).setReachable(true)
            try await cell.answered("it is back") { try await cell.show([there]).rows.map(\.id) == [there] }
            try await cell.answered("both are shown") { try await cell.show([here, there]).unreachable == nil }
        }
    }

    /// Of whoever had the watch before: the leaf has no news that would change it.
    @Test func aWordOnALeafThatIsNotSoIsCorrected() async throws {
        try await CellTree.with(.branchOverLeaves) { cell in
            let store = try cell.branch(testCell)
            func health() async throws -> CellStatus.Health? {
                try await store.cells().first { $0.path == path("/north/a") }?.health
            }
            let word = CellStanding(
                path: path("/north/a"), health: .down, reason: "an old word", since: testEpoch, heartbeat: nil)
            try await store.setHealth([word], watcher: nil)
            try await eventually("it is corrected") { try await health() == .up }
        }
    }

    @Test func aBranchThatLosesItsDirectoryReadsItAgainAndSaysSoMeanwhile() async throws {
        try await CellTree.with(.branchOverBranches) { cell in
            var servers: Set<ServerID> = []
            for number in 0..<4 { servers.insert(try await cell.boot(on: CellTree.hosts[number % 2])) }
            let before = try await cell.call(AuditRequest())
            let store = try cell.branch(testCell)
            for table in ["directory.instances", "directory.routes"] {
                _ = try await store.pool.execute("truncate \(raw: table)")
            }
            try await cell.answered("all are there again") {
                let reply = try await cell.show(Array(servers))
                // Complete, or says which may be missing.
                #expect(Set(reply.rows.map(\.id)).union(reply.unreachable ?? []) == servers)
                return reply.unreachable == nil
            }
            try await eventually("it says the same as before") {
                do {
                    let now = try await cell.call(AuditRequest())
                    return (now.servers, now.digest) == (before.servers, before.digest)
                } catch is CellFailure {
                    return false
                }
            }
            #expect(Set(try await cell.call(InventoryRequest(after: nil)).servers.map(\.id)) == servers)
        }
    }

    @Test func anAttemptThatWasGivenUpIsToldOfButNotBelieved() async throws {
        try await CellTree.with(.branchOverLeaves) { cell in
            cell.agents[0].obey { _ in nil }
            var instance = makeInstance(host: "host-1")
            _ = try await cell.call(BuildRequest(builds: [makeBuild(instance)]))
            instance.host = "host-2"
            instance.epoch = 2
            _ = try await cell.call(BuildRequest(builds: [makeBuild(instance)]))
            try await eventually("it runs in the second leaf") { cell.states(of: instance.id).last == .active }
            #expect(try await cell.branch(testCell).places(of: [instance.id]).leaves[instance.id] == path("/north/b"))
            // The first attempt succeeds after all.
            cell.agents[0].obey(FakeAgent.obedient)
            // The first leaf may have been slower than the second.
            try await eventually("the first host has its command") { !cell.agents[0].spawns.isEmpty }
            let command = try #require(cell.agents[0].spawns.first)
            try await cell.agents[0].answer(command, .succeeded(power: .running))
            try await eventually("told, with where it is") {
                cell.parent.all.contains { event in
                    guard case .instanceChanged(let summary) = event.event else { return false }
                    return summary.id == instance.id && event.origin == path("/north/a")
                        && summary.state.vm == .active
                }
            }
            #expect(try await cell.branch(testCell).places(of: [instance.id]).leaves[instance.id] == path("/north/b"))
            // The parent may have it deleted where it should not be.
            guard
                case .accepted = try await cell.call(
                    ActRequest(id: instance.id, action: .delete), as: admin, of: path("/north/a"))
            else {
                Issue.record("not deleted")
                return
            }
            try await eventually("gone there") { cell.agents[0].guests[instance.id] == nil }
            try await eventually("told") {
                cell.parent.all.contains { event in
                    if case .instanceDeleted = event.event { event.origin == path("/north/a") } else { false }
                }
            }
            #expect(try await cell.shown(instance.id).contains("\"status\":\"ACTIVE\""))
        }
    }
}
