import CellProtocol
import CloudModel
import FoundationEssentials
import PostgresClient
import Primitives
import SagaEngine
import ServerLifecycle
import Testing

/// What the store's two adapters tell of sagas.
@Suite(.timeLimit(.minutes(3))) struct CellStoreSagaTests {
    private static let failure = SagaFailure(reason: "No.", details: "EIO", isPermanent: true)

    /// A delete that failed so often that it is parked.
    private func parked(_ store: any CellStore, _ instance: Instance = makeInstance()) async throws -> SagaID {
        let boot = try await store.admit(instance)
        try await store.plan(CellScope(sagas: [boot])) { plan in
            _ = plan.resume(boot)
            _ = plan.move(boot, by: .succeeded(step: "spawn", generation: 1, output: .null), ownership: .unchanged)
        }
        let saga: SagaID = ids.next()
        let order = makeOrder(.delete, instance.id, sagaID: saga)
        try await store.plan(CellScope(servers: [instance.id])) { _ = $0.act(order) }
        try await store.plan(CellScope(sagas: [saga])) { plan in
            _ = plan.resume(saga)
            for generation in 1...100 {
                _ = plan.move(
                    saga, by: .failed(step: "destroy", generation: generation, failure: Self.failure),
                    ownership: .unchanged)
            }
        }
        return saga
    }

    @Test(arguments: StoreKind.available) func sagasAreListedOldestFirstAndAsAskedFor(kind: StoreKind) async throws {
        try await kind.with { store in
            try await store.join("host-1", "host-2")
            var made: [(saga: SagaID, server: ServerID)] = []
            for number in 0..<5 {
                let instance = makeInstance(host: number == 4 ? "host-2" : "host-1")
                made.append((try await store.admit(instance, now: testEpoch + Double(number)), instance.id))
            }
            let all = try await store.sagas(SagaFilter())
            #expect(all.map(\.id) == made.map(\.saga))
            #expect(all.allSatisfy { $0.state == .live && $0.holder == nil && $0.leaseEpoch == 0 })
            #expect(try await store.sagas(SagaFilter(server: made[2].server)).map(\.id) == [made[2].saga])
            #expect(try await store.sagas(SagaFilter(host: "host-2")).map(\.id) == [made[4].saga])
            #expect(try await store.sagas(SagaFilter(createdBefore: testEpoch + 2)).map(\.id) == made[..<2].map(\.saga))
            #expect(try await store.sagas(SagaFilter(states: [.parked])).isEmpty)
            #expect(try await store.sagas(SagaFilter(states: [])).isEmpty)
            var paged: [SagaID] = []
            var filter = SagaFilter(limit: 2)
            while let last = try await { () async throws -> SagaRecord? in
                let page = try await store.sagas(filter)
                paged += page.map(\.id)
                return page.last
            }() { filter.after = .init(createdAt: last.createdAt, id: last.id) }
            #expect(paged == made.map(\.saga))
            #expect(Set(try await store.sagas([made[0].saga, ids.next()]).map(\.id)) == [made[0].saga])
        }
    }

    @Test(arguments: StoreKind.available) func aSagaTellsWhoHoldsItAndUnderWhichEpoch(kind: StoreKind) async throws {
        try await kind.with { store in
            try await store.join("host-1")
            let saga = try await store.admit(makeInstance())
            _ = try await store.claimed("a", for: .milliseconds(20))
            var former: [SagaID: String] = [:]
            try await eventually("taken over") {
                former = try await store.claim(SagaLease(owner: "b", duration: .seconds(60)), limit: 1) {
                    CellDecision(CellChanges(), $0.formerOwners)
                }
                return !former.isEmpty
            }
            #expect(former == [saga: "a"])
            let held = try #require(try await store.sagas([saga]).first)
            #expect(held.holder?.owner == "b" && held.leaseEpoch == 2)
            #expect(try #require(held.holder).until > Date(timeIntervalSince1970: 0))
            let lease = SagaLease(owner: "c", duration: .seconds(60))
            try await store.plan(CellScope(sagas: [saga])) { plan in
                _ = plan.move(saga, by: .resume, ownership: .taken(lease))
                _ = plan.move(saga, by: .resume, ownership: .taken(lease))
                #expect(plan.snapshot.sagas[saga]?.leaseEpoch == 3)
            }
            #expect(try await store.sagas([saga]).first?.leaseEpoch == 3)
            // An owner that was taken for another of its own earlier life keeps nothing.
            #expect(try await store.renew(lease, [saga: 2]).isEmpty)
            #expect(try await store.renew(lease, [saga: 3]).count == 1)
        }
    }

    @Test(arguments: StoreKind.available) func sagasOfAVersionThatIsNotKnownWaitForAProgramThatKnowsIt(
        kind: StoreKind
    ) async throws {
        try await kind.with { store in
            try await store.join("host-1")
            let instance = makeInstance()
            try await store.transact(CellScope(servers: [instance.id])) { snapshot in
                var changes = CellChanges()
                changes.servers[instance.id] = StoredServer(
                    instance: instance, build: BuildContext(requestID: "r", publicKey: nil, image: nil))
                for (name, version) in [("boot", 99), ("teleport", 1), ("boot", 1)] {
                    changes.newSagas.append(
                        SagaRecord(
                            id: ids.next(), name: name, version: version, serverID: instance.id, host: "host-1",
                            epoch: 1,
                            input: SagaInput(requestID: "r"), createdAt: testEpoch))
                }
                return CellDecision(changes, ())
            }
            let claimed = try await store.claimed("a")
            #expect(claimed.count == 1)
            #expect(try await store.sagas(claimed).first?.version == 1)
            #expect(try await store.sagas(SagaFilter()).count == 3)
        }
    }

    @Test(arguments: StoreKind.available) func aParkedSagaIsSeenWithItsServerAndIsTakenUpAgain(
        kind: StoreKind
    ) async throws {
        try await kind.with { store in
            try await store.join("host-1")
            let instance = makeInstance()
            let saga = try await parked(store, instance)
            let shown = try #require(try await store.sagas(SagaFilter(states: [.parked])).first)
            #expect(shown.id == saga && shown.message == "No." && shown.endedAt == testEpoch)
            #expect(try await store.snapshot(CellScope(servers: [instance.id])).sagas[saga]?.state == .parked)
            #expect(try await store.actions(of: instance.id, limit: 1).first?.message == "No.")
            #expect(try await store.claimed("a").isEmpty)
            try await store.plan(CellScope(sagas: [saga]), now: testEpoch + 9) {
                _ = $0.order(SagaOrderRequest(id: saga, order: .retry))
            }
            let live = try #require(try await store.sagas([saga]).first)
            #expect(live.state == .live && live.endedAt == nil && live.message == nil)
            let action = try #require(try await store.actions(of: instance.id, limit: 1).first)
            #expect(action.finishedAt == nil && action.message == nil)
            #expect(try await store.claimed("a") == [saga])
            try await store.plan(CellScope(sagas: [saga]), now: testEpoch + 10) {
                _ = $0.order(SagaOrderRequest(id: saga, order: .abandon(reason: "gone")))
            }
            let ended = try #require(try await store.sagas([saga]).first)
            #expect(ended.state == .abandoned && ended.holder == nil && ended.endedAt == testEpoch + 10)
            #expect(ended.log.last?.entry == .abandoned(reason: "gone"))
            #expect(try await store.actions(of: instance.id, limit: 1).first?.finishedAt == testEpoch + 10)
        }
    }

    @Test(arguments: StoreKind.available) func aServerWithAParkedSagaIsNotForgotten(kind: StoreKind) async throws {
        try await kind.with { store in
            try await store.join("host-1")
            let saga = try await parked(store)
            #expect(try await store.pruneServers(endedBefore: .distantFuture, limit: 10) == 0)
            try await store.plan(CellScope(sagas: [saga])) {
                _ = $0.order(SagaOrderRequest(id: saga, order: .retry))
                _ = $0.resume(saga)
            }
            let log = try #require(try await store.sagas([saga]).first).log
            guard case .started(_, let generation) = log.last?.entry else {
                Issue.record("not begun again")
                return
            }
            try await store.plan(CellScope(sagas: [saga])) {
                _ = $0.move(
                    saga, by: .succeeded(step: "destroy", generation: generation, output: .null), ownership: .unchanged)
            }
            #expect(try await store.pruneServers(endedBefore: .distantFuture, limit: 10) == 1)
            #expect(try await store.sagas([saga]).isEmpty)
        }
    }

    @Test(.enabled(if: StoreKind.available.contains(.postgres)))
    func aSagaWhoseLogCanNotBeReadIsListedAllTheSame() async throws {
        try await StoreKind.withPool { pool, store in
            try await store.join("host-1")
            let bad = try await store.admit(makeInstance())
            let good = try await store.admit(makeInstance(), now: testEpoch + 1)
            try await pool.execute(
                "insert into saga.log (saga_id, number, at, entry) values (\(bad), 1, now(), '{\"teleported\": {}}')")
            let listed = try await store.sagas(SagaFilter())
            #expect(listed.map(\.id) == [bad, good])
            #expect(listed.first?.logProblem != nil && listed.last?.logProblem == nil)
            #expect(SagaDescription(listed[0], isWhole: false).failure?.contains("can't be read") == true)
        }
    }
}
