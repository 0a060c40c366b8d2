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

/// Two supervisors of every cell: both answer, what only one may do one does, and the end of either is no end of anything.
@Suite(.serialized, .timeLimit(.minutes(3)))
struct ReplicaTests {
    private static let names = ["s1", "s2"]

    private func owner(_ tree: CellTree, of cell: CellPath = testCell) async throws -> String? {
        try await tree.branch(cell).pool.query("select owner from directory.watch where until > now()").scalar()
    }

    /// Numbers of all events that the parent heard, each once.
    private func expectNoGap(_ tree: CellTree) {
        let numbers = Set(tree.parent.all.map(\.sequence))
        #expect(numbers == Set(1...(numbers.max() ?? 1)))
    }

    @Test(arguments: CellTree.Kind.available) func bothSpeakAndServersLiveAsWithOne(kind: CellTree.Kind) async throws {
        try await CellTree.with(kind, supervisors: Self.names) { cell in
            let servers = [try await cell.boot(on: "host-1"), try await cell.boot(on: "host-2")]
            try await eventually("both are heard") {
                Set(cell.parent.heartbeats.compactMap(\.supervisor)) == Set(Self.names)
            }
            for id in servers {
                try await cell.answered("the stop is accepted") {
                    guard case .accepted = try await cell.call(ActRequest(id: id, action: .stop), key: "stop \(id)")
                    else { return false }
                    return true
                }
                try await eventually("it is stopped") { cell.states(of: id).last == .stopped }
            }
            expectNoGap(cell)
        }
    }

    @Test(arguments: CellTree.Kind.available) func theEndOfEitherIsTheEndOfNothing(kind: CellTree.Kind) async throws {
        for victim in Self.names {
            try await CellTree.with(kind, supervisors: Self.names) { cell in
                let id = try await cell.boot(on: "host-1")
                for path in Set(kind.leaves + kind.branches) { cell.end(victim, of: path) }
                let other = makeInstance(host: "host-2")
                // As the root and clients do: what was on its way through the one that ended is sent again.
                try await cell.answered("the build is accepted") {
                    try await cell.call(BuildRequest(builds: [makeBuild(other)])).accepted == [other.id]
                }
                try await cell.answered("the stop is accepted") {
                    guard case .accepted = try await cell.call(ActRequest(id: id, action: .stop), key: "stop") else {
                        return false
                    }
                    return true
                }
                var polls = 0
                try await eventually("news come, whoever told them before") {
                    polls += 1
                    // In memory, a duty ends by the tests' own clock.
                    if polls % 40 == 0 { cell.wallClock.advance(by: 2) }
                    return cell.states(of: id).last == .stopped && cell.states(of: other.id).last == .active
                }
                expectNoGap(cell)
            }
        }
    }

    @Test(.enabled(if: PrivatePostgres.isInstalled, "needs PostgreSQL"))
    func oneWatchesTheChildrenAndWhenItEndsTheOtherDoes() async throws {
        try await CellTree.with(.branchOverLeaves, supervisors: Self.names) { cell in
            var holder: String?
            try await eventually("somebody has the watch") {
                holder = try await owner(cell)
                return holder != nil
            }
            let first = try #require(holder)
            #expect(Self.names.contains(first))
            cell.end(first, of: testCell)
            try await eventually("the other has the watch") {
                let owner = try await owner(cell)
                return owner != nil && owner != first
            }
            let dead = path("/north/b")
            cell.broker(dead).setReachable(false)
            try await eventually("it sees that a leaf is down, and tells") {
                cell.parent.events.contains { event in
                    guard case .cellChanged(let standing) = event else { return false }
                    return standing.path == dead && standing.health == .down && standing.heartbeat != nil
                }
            }
        }
    }

    @Test(.enabled(if: PrivatePostgres.isInstalled, "needs PostgreSQL"))
    func whoHasLostTheWatchChangesNoHealth() async throws {
        let pool = PostgresPool(try await PrivatePostgres.shared().createDatabase())
        _ = try await CellSchemas.migrate(pool, .branch)
        let store = PostgresBranchStore(pool: pool, cell: testCell)
        let children = ["a", "b", "c"].map { path("/north/\($0)") }
        for child in children {
            _ = try await store.putCell(
                child, bus: .init(host: "-", port: 1, vhost: "v", user: "u", password: Secret("p")), now: testEpoch)
        }
        func health() async throws -> [CellStatus.Health] { try await store.cells().map(\.health) }
        func say(_ health: CellStatus.Health, by supervisor: String) async throws {
            let standings = children.map {
                CellStanding(path: $0, health: health, reason: nil, since: testEpoch, heartbeat: nil)
            }
            try await store.setHealth(standings, watcher: supervisor)
        }
        #expect(try await store.takeWatch(owner: "s1", for: .seconds(60)))
        #expect(try await store.takeWatch(owner: "s1", for: .seconds(60)))
        #expect(try await !store.takeWatch(owner: "s2", for: .seconds(60)))
        try await say(.up, by: "s2")
        #expect(try await health() == [.down, .down, .down])
        try await say(.up, by: "s1")
        #expect(try await health() == [.up, .up, .up])
        try await store.releaseWatch(owner: "s2")
        #expect(try await !store.takeWatch(owner: "s2", for: .seconds(60)))
        try await store.releaseWatch(owner: "s1")
        #expect(try await store.takeWatch(owner: "s2", for: .milliseconds(1)))
        // Its time is over, and nobody has taken it yet.
        try await eventually("over") {
            try await pool.query("select until < now() from directory.watch").scalar(as: Bool.self) == true
        }
        try await say(.slow, by: "s2")
        #expect(try await health() == [.up, .up, .up])
        await pool.close()
    }
}
