import CellProtocol
import CloudModel
import FoundationEssentials
import PostgresClient
import Primitives
import SagaEngine
import ServerLifecycle
import Testing

/// What every cell store does: the contract of ``CellStore``.
@Suite(.serialized, .timeLimit(.minutes(3))) struct CellStoreTests {
    @Test(arguments: StoreKind.available) func whatIsWrittenIsReadBack(kind: StoreKind) async throws {
        try await kind.with { store in
            try await store.join("host-1")
            let instance = makeInstance()
            let saga = try await store.admit(instance)
            let snapshot = try await store.snapshot(CellScope(servers: [instance.id]))
            let server = try #require(snapshot.servers[instance.id])
            #expect(server.instance.state.task == .networking)
            #expect(server.instance.flavor == instance.flavor)
            #expect(server.build.publicKey == "ssh-ed25519 AAAA")
            let record = try #require(snapshot.sagas[saga])
            #expect(record.name == "boot" && record.host == "host-1" && record.epoch == 1 && record.state == .live)
            #expect(record.createdAt == testEpoch && record.log.isEmpty)
            #expect(record.input == SagaInput(requestID: "req-build", traceParent: "00-1-2-01", turn: 1))
            let actions = try await store.actions(of: instance.id, limit: 10)
            #expect(actions.map(\.action) == ["create"])
            #expect(actions.first?.sagaID == saga && actions.first?.finishedAt == nil)
        }
    }

    @Test(arguments: StoreKind.available) func aSagasLogGrowsEntryByEntryAndKeepsItsTimes(kind: StoreKind) async throws
    {
        try await kind.with { store in
            try await store.join("host-1")
            let instance = makeInstance()
            let saga = try await store.admit(instance)
            let times = [testEpoch + 1.5, testEpoch + 2.25, testEpoch + 3.125]
            let spawn = try await store.plan(CellScope(sagas: [saga]), now: times[0]) { $0.resume(saga) }.get()
            let key = try #require(spawn).command.key
            try await store.plan(CellScope(sagas: [saga]), now: times[1]) {
                _ = $0.take(
                    StepResult(key: key, instanceID: instance.id, outcome: brokenSpawn), from: "host-1",
                    lease: SagaLease(owner: "c", duration: .seconds(9)))
            }
            let record = try #require(try await store.snapshot(CellScope(sagas: [saga])).sagas[saga])
            let failure = SagaFailure(reason: "No disk space.", details: "ENOSPC", isPermanent: true)
            #expect(
                record.log == [
                    LoggedEntry(.started(step: "spawn", generation: 1), at: times[0]),
                    LoggedEntry(.failed(step: "spawn", generation: 1, failure: failure), at: times[1]),
                    LoggedEntry(.undoStarted(step: "spawn", generation: 2), at: times[1]),
                ])
        }
    }

    @Test(arguments: StoreKind.available) func anEndedSagaIsSeenOnlyByItsNameAndEndsItsActions(
        kind: StoreKind
    ) async throws {
        try await kind.with { store in
            try await store.join("host-1")
            let instance = makeInstance()
            let saga = try await store.admit(instance)
            try await boot(saga, instance.id, store)
            #expect(try await store.snapshot(CellScope(servers: [instance.id])).sagas.isEmpty)
            let named = try await store.snapshot(CellScope(sagas: [saga]))
            #expect(named.sagas[saga]?.state == .succeeded)
            #expect(named.servers[instance.id]?.instance.state.vm == .active)
            let action = try #require(try await store.actions(of: instance.id, limit: 1).first)
            #expect(action.finishedAt != nil && action.message == nil)
        }
    }

    /// Boots as the conductor does, without one.
    private func boot(_ saga: SagaID, _ id: ServerID, _ store: any CellStore) async throws {
        let spawn = try await store.plan(CellScope(sagas: [saga])) { $0.resume(saga) }.get()
        let key = try #require(spawn).command.key
        try await store.plan(CellScope(sagas: [saga])) {
            _ = $0.take(
                StepResult(key: key, instanceID: id, outcome: .succeeded(power: .running)), from: "host-1",
                lease: SagaLease(owner: "c", duration: .seconds(9)))
        }
    }

    @Test(arguments: StoreKind.available) func aNamedSagaBringsItsServerAndItsServersOtherSagas(
        kind: StoreKind
    ) async throws {
        try await kind.with { store in
            try await store.join("host-1", "host-2")
            let instance = makeInstance()
            let first = try await store.admit(instance)
            // Undone later than its patience, so a second attempt runs beside it.
            let spawn = try await store.plan(CellScope(sagas: [first])) { $0.resume(first) }.get()
            let key = try #require(spawn).command.key
            try await store.plan(CellScope(sagas: [first])) {
                _ = $0.move(first, by: .timedOut(step: "spawn", generation: key.generation), ownership: .unchanged)
                _ = $0.move(first, by: .undoOverdue(step: "spawn", generation: 2), ownership: .unchanged)
            }
            let second = try await store.admit(makeInstance(instance.id, host: "host-2", epoch: 2))
            let snapshot = try await store.snapshot(CellScope(sagas: [first]))
            #expect(Set(snapshot.sagas.keys) == [first, second])
            #expect(snapshot.servers[instance.id]?.instance.host == "host-2")
        }
    }

    @Test(arguments: StoreKind.available) func knownKeysAndHostsAreAnswered(kind: StoreKind) async throws {
        try await kind.with { store in
            try await store.join("host-1")
            let instance = makeInstance()
            try await store.admit(instance)
            let scope = CellScope(
                servers: [instance.id], idempotencyKeys: ["build-1", "other"], hosts: ["host-1", "host-9"])
            let snapshot = try await store.snapshot(scope)
            #expect(snapshot.knownKeys == ["build-1"])
            #expect(snapshot.knownHosts == ["host-1"])
            let elsewhere = CellScope(servers: [ids.next()], idempotencyKeys: ["build-1"])
            #expect(try await store.snapshot(elsewhere).knownKeys.isEmpty)
        }
    }

    @Test(arguments: StoreKind.available) func changesOfOneServerAreOrdered(kind: StoreKind) async throws {
        try await kind.with { store in
            try await store.join("host-1")
            let instance = makeInstance()
            let saga = try await store.admit(instance)
            try await boot(saga, instance.id, store)
            let before = try #require(try await store.servers([instance.id]).first).instance.version
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<20 {
                    group.addTask {
                        try await store.plan(CellScope(servers: [instance.id])) {
                            _ = $0.act(makeOrder(.mergeMetadata(["key-\(number)": "v"]), instance.id))
                        }
                    }
                }
                try await group.waitForAll()
            }
            let after = try #require(try await store.servers([instance.id]).first).instance
            #expect(after.metadata.count == 20)
            #expect(after.version == before + 20)
        }
    }

    // MARK: Leases

    @Test(arguments: StoreKind.available) func eachSagaIsClaimedByOneOldestFirst(kind: StoreKind) async throws {
        try await kind.with { store in
            try await store.join("host-1")
            var sagas: [SagaID] = []
            for number in 0..<6 { sagas.append(try await store.admit(makeInstance(), now: testEpoch + Double(number))) }
            #expect(try await store.claimed("a", limit: 2) == Array(sagas[0..<2]))
            async let b = store.claimed("b", limit: 10)
            async let c = store.claimed("c", limit: 10)
            let rest = try await (b, c)
            #expect(Set(rest.0).isDisjoint(with: rest.1))
            #expect(Set(rest.0 + rest.1) == Set(sagas[2...]))
            #expect(try await store.claimed("d").isEmpty)
        }
    }

    @Test(arguments: StoreKind.available) func whatIsClaimedIsBegunInTheSameTransaction(kind: StoreKind) async throws {
        try await kind.with { store in
            try await store.join("host-1")
            let instance = makeInstance()
            let saga = try await store.admit(instance)
            let pursuits = try await store.claim(SagaLease(owner: "a", duration: .seconds(9)), limit: 5) { snapshot in
                var plan = CellPlan(snapshot, now: testEpoch)
                let outcomes = snapshot.sagas.keys.map { plan.resume($0) }
                return CellDecision(plan.changes(), outcomes)
            }
            #expect(try pursuits.first?.get()?.command.key == StepKey(saga: saga, step: "spawn", generation: 1))
            let snapshot = try await store.snapshot(CellScope(servers: [instance.id]))
            #expect(snapshot.sagas[saga]?.log.count == 1)
            #expect(snapshot.servers[instance.id]?.instance.state.task == .spawning)
        }
    }

    @Test(.enabled(if: StoreKind.available.contains(.postgres)))
    func aRowThatCanNotBeReadDoesNotKeepTheOthersFromBeingClaimed() async throws {
        try await StoreKind.withPool { pool, store in
            try await store.join("host-1")
            let bad = try await store.admit(makeInstance())
            let good = try await store.admit(makeInstance(), now: testEpoch + 1)
            try await pool.execute("update saga.sagas set state = 'live', input = '[]' where id = \(bad)")
            let (read, unreadable) = try await store.claim(
                SagaLease(owner: "a", duration: .seconds(60)), limit: 10
            ) { CellDecision(CellChanges(), (Array($0.sagas.keys), $0.unreadable.map(\.id))) }
            #expect(read == [good])
            #expect(unreadable == [bad])
        }
    }

    @Test(arguments: StoreKind.available) func aLeaseThatRanOutIsTakenOverAndCanNotBeRenewed(
        kind: StoreKind
    ) async throws {
        try await kind.with { store in
            try await store.join("host-1")
            let saga = try await store.admit(makeInstance())
            #expect(try await store.claimed("a", for: .milliseconds(20)) == [saga])
            try await eventually("taken over") { try await store.claimed("b") == [saga] }
            #expect(try await store.renew(SagaLease(owner: "a", duration: .seconds(60)), [saga: 1]).isEmpty)
            #expect(try await store.renew(SagaLease(owner: "b", duration: .seconds(60)), [saga: 2]) == [saga: true])
        }
    }

    @Test(arguments: StoreKind.available) func renewingKeepsALeaseAndSaysWhetherTheHostIsUp(
        kind: StoreKind
    ) async throws {
        try await kind.with { store in
            try await store.join("host-1")
            let kept = try await store.admit(makeInstance())
            let lost = try await store.admit(makeInstance(), now: testEpoch + 1)
            #expect(try await store.claimed("a", for: .milliseconds(200)) == [kept, lost])
            let lease = SagaLease(owner: "a", duration: .seconds(60))
            #expect(try await store.renew(lease, [kept: 1, ids.next(): 1]) == [kept: true])
            _ = try await store.changeHosts(["host-1"]) {
                HostPlan.silence(since: .distantFuture, known: $0, now: testEpoch)
            }
            #expect(try await store.renew(lease, [kept: 1]) == [kept: false])
            var free: [SagaID] = []
            try await eventually("the other is free") {
                free += try await store.claimed("b")
                return !free.isEmpty
            }
            #expect(free == [lost])
        }
    }

    @Test(arguments: StoreKind.available) func whatAnOwnerReleasesIsFree(kind: StoreKind) async throws {
        try await kind.with { store in
            try await store.join("host-1")
            let saga = try await store.admit(makeInstance())
            _ = try await store.claimed("a")
            try await store.release(owner: "other")
            #expect(try await store.claimed("b").isEmpty)
            try await store.release(owner: "a")
            #expect(try await store.claimed("b") == [saga])
        }
    }

    @Test(arguments: StoreKind.available) func whoeverHandlesAnEventTakesTheSagaOrFreesIt(
        kind: StoreKind
    ) async throws {
        try await kind.with { store in
            try await store.join("host-1")
            let saga = try await store.admit(makeInstance())
            _ = try await store.claimed("a")
            let lease = SagaLease(owner: "b", duration: .seconds(60))
            try await store.plan(CellScope(sagas: [saga])) {
                _ = $0.move(saga, by: .resume, ownership: .taken(lease))
            }
            #expect(try await store.renew(SagaLease(owner: "a", duration: .seconds(60)), [saga: 1]).isEmpty)
            #expect(try await store.renew(lease, [saga: 2]).count == 1)
            try await store.plan(CellScope(sagas: [saga])) {
                _ = $0.move(saga, by: .cancel, ownership: .released)
            }
            #expect(try await store.claimed("c") == [saga])
        }
    }

    // MARK: Reading

    @Test(arguments: StoreKind.available) func serversAreShownWithTheirHostUntilTheyAreDeleted(
        kind: StoreKind
    ) async throws {
        try await kind.with { store in
            try await store.join("host-1")
            let one = makeInstance()
            let two = makeInstance()
            try await store.admit(one)
            try await store.admit(two)
            try await store.plan(CellScope(servers: [two.id])) { _ = $0.act(makeOrder(.delete, two.id)) }
            let servers = try await store.servers([one.id, two.id, ids.next()])
            #expect(servers.map(\.instance.id) == [one.id])
            #expect(servers.first?.host == HostStanding(hypervisorHostname: "hv", isUp: true, isEnabled: true))
            let placed = try await store.placed(on: ["host-1"], or: [])
            #expect(placed.map(\.id) == [one.id])
            let known = try await store.placed(on: ["host-1"], or: [two.id, ids.next()])
            #expect(Set(known.map(\.id)) == [one.id, two.id])
            #expect(known.first { $0.id == two.id }?.state.vm == .deleted)
        }
    }

    @Test(arguments: StoreKind.available) func oldDeletedServersGoWithAllThatHangsOnThem(kind: StoreKind) async throws {
        try await kind.with { store in
            try await store.join("host-1")
            let instance = makeInstance()
            let saga = try await store.admit(instance)
            let living = makeInstance()
            try await store.admit(living)
            try await store.plan(CellScope(servers: [instance.id])) { _ = $0.act(makeOrder(.delete, instance.id)) }
            #expect(try await store.pruneServers(endedBefore: testEpoch, limit: 10) == 0)
            #expect(try await store.pruneServers(endedBefore: testEpoch + 1, limit: 10) == 1)
            let snapshot = try await store.snapshot(CellScope(servers: [instance.id, living.id], sagas: [saga]))
            #expect(Set(snapshot.servers.keys) == [living.id])
            #expect(snapshot.sagas[saga] == nil)
            #expect(try await store.actions(of: instance.id, limit: 10).isEmpty)
        }
    }

    @Test(arguments: StoreKind.available) func anOldFailedBuildGoesOnceItIsUndone(kind: StoreKind) async throws {
        try await kind.with { store in
            try await store.join("host-1")
            let instance = makeInstance()
            let saga = try await store.admit(instance)
            try await store.plan(CellScope(sagas: [saga])) {
                _ = $0.resume(saga)
                _ = $0.move(saga, by: .timedOut(step: "spawn", generation: 1), ownership: .unchanged)
                _ = $0.move(saga, by: .undoOverdue(step: "spawn", generation: 2), ownership: .unchanged)
            }
            #expect(try await store.servers([instance.id]).first?.instance.state.vm == .error)
            #expect(try await store.pruneServers(endedBefore: testEpoch + 1, limit: 10) == 0)
            try await store.plan(CellScope(sagas: [saga])) {
                _ = $0.move(saga, by: .undoFinished(step: "spawn", generation: 2), ownership: .unchanged)
            }
            #expect(try await store.pruneServers(endedBefore: testEpoch, limit: 10) == 0)
            #expect(try await store.pruneServers(endedBefore: testEpoch + 1, limit: 10) == 1)
        }
    }

    @Test(arguments: StoreKind.available) func aNudgeFollowsWorkThatIsFree(kind: StoreKind) async throws {
        try await kind.with { store in
            try await store.join("host-1")
            let sagas = Counter()
            let outbox = Counter()
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await store.listen(.sagas) { sagas.add() } }
                group.addTask { try await store.listen(.outbox) { outbox.add() } }
                try await eventually("nudged for sagas") {
                    try await store.admit(makeInstance())
                    return sagas.value > 2
                }
                try await eventually("nudged for events") {
                    _ = try await store.changeHosts(["host-1"]) { known in
                        let isEnabled = known["host-1"]?.isEnabled == true
                        let request = SetHostRequest(host: "host-1", isEnabled: !isEnabled, reason: nil)
                        return HostPlan.set(request, known: known, now: testEpoch)
                    }
                    return outbox.value > 2
                }
                group.cancelAll()
            }
        }
    }
}
