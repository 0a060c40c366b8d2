import CellProtocol
import CloudModel
import FoundationEssentials
import MessageBus
import Persistence
import PostgresClient
import Primitives
import ServerLifecycle
import Synchronization
import TestSupport
import Testing

/// Thousands of random lists against a model that knows the truth, while servers come, change and go.
@Suite(
    .enabled(if: PrivatePostgres.isInstalled, "PostgreSQL is not installed"), .timeLimit(.minutes(10)), .serialized)
struct ListingModelTests {
    /// Requests of the run against the model.
    private static let requests = 10_000
    private static let seed: UInt64 = 20_261_123

    private static let movedByDeletion: [DirectorySort.Key] = [
        .updatedAt, .terminatedAt, .vmState, .taskState, .powerState,
    ]

    private final class End: Sendable {
        let isOver = Mutex(false)
    }

    /// The database and the model, changed together.
    private struct Cloud: Sendable {
        let root: RootFixture
        var model = ListingModel()
        var sequences: [CellPath: Int64] = [RootFixture.north: 2, RootFixture.south: 2]
        var dice: ListingDice

        init(seed: UInt64, servers: Int) async throws {
            root = try await RootFixture()
            dice = ListingDice(random: SeededGenerator(seed: seed))
            for _ in 0..<servers { try await create() }
            for _ in 0..<servers { try await change() }
            for _ in 0..<servers / 5 { try await delete() }
        }

        mutating func create() async throws {
            let instance = dice.server()
            let server = NewServers.Server(
                build: BuildSpecification(instance: instance, requestID: "r", publicKey: nil, image: nil),
                ports: PortReservation(
                    serverID: instance.id, projectID: instance.projectID, choice: .none, securityGroups: [],
                    hostname: instance.hostname, isAdmin: false))
            var quota = ComputeQuota.standard
            (quota.instances, quota.cores, quota.memoryMiB) = (-1, -1, -1)
            _ = try await root.acceptance.accept(NewServers(servers: [server], quota: quota))
            model.rows[instance.id] = ListingModel.Row(
                summary: InstanceSummary(instance), cell: dice.pick(ListingDice.cells))
        }

        mutating func change() async throws {
            let live = model.live
            guard !live.isEmpty else { return }
            var row = dice.pick(live)
            if !row.isPlaced {
                // Its cell has it: it waits for no host any more.
                try await root.store.pool.execute(
                    "delete from scheduler.build_requests where instance_id = \(row.summary.id)")
            }
            dice.change(&row)
            try await tell(.instanceChanged(row.summary), of: row)
            model.rows[row.summary.id] = row
        }

        mutating func delete() async throws {
            let placed = model.live.filter(\.isPlaced)
            guard !placed.isEmpty else { return }
            var row = dice.pick(placed)
            let deletion = InstanceDeletion(id: row.summary.id, version: 1, deletedAt: RootFixture.now)
            try await tell(.instanceDeleted(deletion), of: row)
            row.summary.state = ServerState(vm: .deleted, task: nil, power: .noState)
            row.summary.status = "DELETED"
            row.summary.terminatedAt = RootFixture.now
            row.summary.updatedAt = RootFixture.now
            model.rows[row.summary.id] = row
        }

        private mutating func tell(_ event: CellEvent, of row: ListingModel.Row) async throws {
            let sequence = (sequences[row.cell] ?? 0) + 1
            sequences[row.cell] = sequence
            let applied = try await root.store.apply(
                [SequencedEvent(cell: row.cell, sequence: sequence, event: event)], from: row.cell, now: RootFixture.now
            )
            #expect(applied.newest == sequence && applied.refused.isEmpty)
        }

        /// One random thing.
        mutating func step() async throws {
            switch dice.number(0...9) {
            case 0...2 where model.live.count < 120: try await create()
            case 3...6: try await change()
            default: try await delete()
            }
        }
    }

    @Test func tenThousandRandomListsSayWhatTheModelSays() async throws {
        var cloud = try await Cloud(seed: Self.seed, servers: 80)
        var done = 0
        while done < Self.requests {
            let filters = cloud.dice.filters()
            var query = DirectoryQuery(
                projectID: cloud.dice.chance(60) ? cloud.dice.pick(ListingDice.projects) : nil,
                filters: filters.map(\.filter), sort: cloud.dice.sort(), limit: cloud.dice.pick([1, 2, 5, 20, 1000]),
                deleted: cloud.dice.pick([.exclude, .exclude, .only, .include]))
            // A whole traversal, with changes between its pages.
            while done < Self.requests {
                let found = try await cloud.root.store.list(query)
                done += 1
                let expected = cloud.model.page(query, filters)
                #expect(found.gaps.isEmpty)
                guard found.rows.map(\.summary.id) == expected else {
                    Issue.record(
                        "request \(done), seed \(Self.seed): \(query) has \(found.rows.count), not \(expected.count)")
                    return
                }
                guard found.rows.count == query.limit, let last = found.rows.last else { break }
                query.marker = last.summary.id
                if cloud.dice.chance(6) { try await cloud.step() }
            }
            if cloud.dice.chance(6) { try await cloud.step() }
        }
        print("\(done) random lists over \(cloud.model.rows.count) servers agree with the model")
    }

    /// What did not change is found exactly once, in order, whatever else happens at the same time.
    @Test func traversalsBesideAWriterLoseAndRepeatNothingThatStays() async throws {
        let cloud = try await Cloud(seed: Self.seed + 1, servers: 120)
        let staying = Set(cloud.model.live.map(\.summary.id))
        let end = End()
        let store = cloud.root.store
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                // New servers come and go; none of those that were there is touched.
                var writer = cloud
                while !end.isOver.withLock({ $0 }) {
                    try await writer.create()
                    let fresh = writer.model.live.filter { !staying.contains($0.summary.id) }
                    guard fresh.count > 20, let victim = fresh.first else { continue }
                    _ = try await writer.root.acceptance.delete(
                        victim.summary.id, requestID: "r",
                        caller: .init(userID: "u1", projectID: "p1", roles: ["admin"]))
                    writer.model.rows[victim.summary.id] = nil
                }
            }
            defer { end.isOver.withLock { $0 = true } }
            var dice = ListingDice(random: SeededGenerator(seed: Self.seed + 2))
            for _ in 0..<60 {
                // The last row of a page marks the place. A key that changes with its deletion moves that place.
                let sort = dice.sort().filter { !Self.movedByDeletion.contains($0.key) }
                var query = DirectoryQuery(projectID: nil, sort: sort, limit: dice.number(3...40))
                var seen: [ServerID] = []
                while true {
                    let page = try await store.page(query)
                    seen += page.map(\.summary.id)
                    guard page.count == query.limit, let last = page.last else { break }
                    query.marker = last.summary.id
                }
                #expect(Set(seen).count == seen.count, "a row came twice: \(sort)")
                let stayed = seen.filter(staying.contains)
                let all = cloud.model.page(DirectoryQuery(projectID: nil, sort: sort, limit: 10_000), [])
                #expect(stayed == all.filter(staying.contains), "\(sort)")
            }
        }
    }
}
