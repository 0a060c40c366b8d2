import CellProtocol
import CloudModel
import FoundationEssentials
import Primitives
import SagaEngine
import Testing

@testable import ServerLifecycle

/// Sagas that park, and what an operator decides about them.
@Suite struct OrderPlanTests {
    /// Fails every attempt until the saga waits for nothing more.
    private func exhaust(_ world: inout World, _ first: Pursuit) throws {
        var pursuit = first
        for _ in 0..<ServerSaga.destroyAttempts {
            switch world.report(pursuit, brokenSpawn) {
            case .applied(let next?): pursuit = next
            case .applied(nil): return
            case let other: throw HarnessError("\(other)")
            }
        }
        throw HarnessError("it goes on for ever")
    }

    private struct HarnessError: Error {
        let why: String
        init(_ why: String) { self.why = why }
    }

    /// A delete that its host could not carry out.
    private func parkedDelete(_ world: inout World) throws -> (ServerID, SagaID) {
        let id = try world.boot()
        let saga: SagaID = ids.next()
        _ = world.plan { $0.act(makeOrder(.delete, id, sagaID: saga)) }
        try exhaust(&world, try #require(try world.resume(saga)))
        try #require(world.snapshot.sagas[saga]?.state == .parked)
        return (id, saga)
    }

    /// A boot that failed and that its host could not undo.
    private func parkedBoot(_ world: inout World, deleted: Bool = false) throws -> (ServerID, SagaID) {
        let (id, saga) = try world.admit()
        let spawn = try #require(try world.resume(saga))
        if deleted {
            _ = world.plan { $0.act(makeOrder(.delete, id)) }
        } else {
            world.report(spawn, brokenSpawn)
        }
        try exhaust(&world, try #require(try world.resume(saga)))
        try #require(world.snapshot.sagas[saga]?.state == .parked)
        return (id, saga)
    }

    private func order(_ world: inout World, _ id: SagaID, _ order: SagaOrderRequest.Order) -> SagaOrderOutcome {
        world.plan { $0.order(SagaOrderRequest(id: id, order: order)) }
    }

    private func isDone(_ outcome: SagaOrderOutcome) -> Bool {
        if case .done = outcome { true } else { false }
    }

    @Test func aDeleteThatFailsForAQuarterOfAnHourParksAndItsServerIsInErrorWithAFault() throws {
        var world = World()
        let (id, saga) = try parkedDelete(&world)
        let instance = try world.instance(id)
        #expect(instance.state == ServerState(vm: .error, task: nil, power: .running))
        #expect(instance.fault?.message == "No disk space." && instance.fault?.details == "ENOSPC")
        #expect(world.events.last == .instanceChanged(InstanceSummary(instance)))
        let description = SagaDescription(try #require(world.snapshot.sagas[saga]), isWhole: true)
        #expect(description.state == .parked && description.step == "destroy" && !description.isUndoing)
        #expect(description.tries == ServerSaga.destroyAttempts && description.failure == "ENOSPC")
        #expect(description.steps?.count == ServerSaga.destroyAttempts)
        #expect(description.lease == nil && description.endedAt != nil)
        #expect(description.remains.contains("host host-1"))
    }

    @Test func aRetriedDeleteGoesOnAndEndsTheServer() throws {
        var world = World()
        let (id, saga) = try parkedDelete(&world)
        #expect(isDone(order(&world, saga, .retry)))
        #expect(try world.instance(id).state.task == .deleting)
        let pursuit = try #require(try world.resume(saga))
        #expect(pursuit.command.work == .destroy)
        #expect(pursuit.command.key.generation == ServerSaga.destroyAttempts + 1)
        #expect(world.report(pursuit, .succeeded(power: .noState)) == .applied(nil))
        #expect(try world.instance(id).state.vm == .deleted)
        #expect(world.snapshot.sagas[saga]?.state == .succeeded)
    }

    @Test func aRetriedUndoEndsTheBootWithoutTellingItsFailureAgain() throws {
        var world = World()
        let (id, saga) = try parkedBoot(&world)
        let told = world.events.filter { if case .buildFailed = $0 { true } else { false } }
        #expect(told.count == 1)
        #expect(isDone(order(&world, saga, .retry)))
        #expect(try world.instance(id).state == ServerState(vm: .error, task: nil, power: .noState))
        let pursuit = try #require(try world.resume(saga))
        #expect(pursuit.isUndo && pursuit.patienceEnds == nil)
        #expect(world.report(pursuit, .succeeded(power: .noState)) == .applied(nil))
        #expect(world.snapshot.sagas[saga]?.state == .failed)
        #expect(world.events.filter { if case .buildFailed = $0 { true } else { false } } == told)
    }

    @Test func aBootThatItsUserDeletedIsNoFailedBuildWhenItParks() throws {
        var world = World()
        let (id, saga) = try parkedBoot(&world, deleted: true)
        #expect(try world.instance(id).state.vm == .error)
        #expect(!world.events.contains { if case .buildFailed = $0 { true } else { false } })
        #expect(world.events.last == .instanceChanged(InstanceSummary(try world.instance(id))))
        #expect(isDone(order(&world, saga, .retry)))
        let pursuit = try #require(try world.resume(saga))
        #expect(world.report(pursuit, .succeeded(power: .noState)) == .applied(nil))
        #expect(try world.instance(id).state.vm == .deleted)
    }

    @Test func aNewDeleteThatSucceedsSettlesWhatWasParkedOnThatHost() throws {
        var world = World()
        let (id, saga) = try parkedDelete(&world)
        let second: SagaID = ids.next()
        _ = world.plan { $0.act(makeOrder(.delete, id, sagaID: second)) }
        #expect(order(&world, saga, .retry) == .conflict("its server has another that goes on: delete \(second)"))
        let pursuit = try #require(try world.resume(second))
        #expect(world.report(pursuit, .succeeded(power: .noState)) == .applied(nil))
        #expect(try world.instance(id).state.vm == .deleted)
        #expect(world.snapshot.sagas[saga]?.state == .cancelled)
    }

    @Test func aServerThatHasGoneOnIsLeftAlone() throws {
        var world = World()
        let (id, saga) = try parkedDelete(&world)
        let reboot: SagaID = ids.next()
        _ = world.plan { $0.act(makeOrder(.reboot(hard: true), id, sagaID: reboot)) }
        world.report(try #require(try world.resume(reboot)), .succeeded(power: .running))
        #expect(order(&world, saga, .retry) == .conflict("its server has gone on without it and is ACTIVE"))
        #expect(isDone(order(&world, saga, .abandon(reason: nil))))
        #expect(world.snapshot.sagas[saga]?.state == .abandoned)
        #expect(try world.instance(id).state.vm == .active)
    }

    @Test func aLiveSagaIsGivenUpAndItsServerSaysSo() throws {
        var world = World()
        let id = try world.boot()
        let saga: SagaID = ids.next()
        _ = world.plan { $0.act(makeOrder(.delete, id, sagaID: saga)) }
        let pursuit = try #require(try world.resume(saga))
        guard case .done(let ended) = order(&world, saga, .abandon(reason: "the host burnt")) else {
            Issue.record("refused")
            return
        }
        #expect(ended.state == .abandoned && ended.holder == nil)
        let instance = try world.instance(id)
        #expect(instance.state.status == "ERROR")
        #expect(instance.fault?.message == "An operator gave this operation up.")
        #expect(instance.fault?.details?.contains("the host burnt") == true)
        #expect(world.report(pursuit, .succeeded(power: .noState)) == .stale)
        #expect(try world.instance(id).state.vm == .error)
        #expect(order(&world, saga, .abandon(reason: nil)) == .conflict("it has ended: it is abandoned"))
        #expect(order(&world, saga, .retry) == .conflict("it is abandoned, and only a parked one can be"))
        #expect(SagaDescription(ended, isWhole: true).log?.last?.reason == "the host burnt")
    }

    @Test func aBuildThatIsGivenUpIsToldSoThatItsParentMayTryElsewhere() throws {
        var world = World()
        let (id, saga) = try world.admit()
        let spawn = try #require(try world.resume(saga))
        #expect(isDone(order(&world, saga, .abandon(reason: nil))))
        #expect(
            world.events == [
                .buildFailed(
                    BuildFailure(
                        id: id, epoch: 1, host: "host-1", reason: "An operator gave this operation up."))
            ])
        // A guest that was made after all must not stay.
        guard case .orphan(let command, _) = world.report(spawn, .succeeded(power: .running)) else {
            Issue.record("it stays")
            return
        }
        #expect(command.work == .destroy)
    }

    @Test func whatIsNotThereOrNotParkedIsRefused() throws {
        var world = World()
        #expect(order(&world, ids.next(), .retry) == .notFound)
        #expect(order(&world, ids.next(), .abandon(reason: nil)) == .notFound)
        let (_, saga) = try world.admit()
        #expect(order(&world, saga, .retry) == .conflict("it is live, and only a parked one can be"))
    }

    @Test func aSagaWhoseLogCanNotBeReadParksAndCanOnlyBeGivenUp() throws {
        var world = World()
        let (id, saga) = try world.admit()
        world.snapshot.sagas[saga]?.log = [
            LoggedEntry(.succeeded(step: "x", generation: 9, output: .null), at: testEpoch)
        ]
        _ = world.plan { $0.resume(saga) }
        #expect(world.snapshot.sagas[saga]?.state == .parked)
        #expect(try world.instance(id).state.vm == .error)
        guard case .conflict(let why) = order(&world, saga, .retry) else {
            Issue.record("retried")
            return
        }
        #expect(why.contains("can't be read"))
        #expect(isDone(order(&world, saga, .abandon(reason: nil))))
        #expect(world.snapshot.sagas[saga]?.state == .abandoned)
    }

    @Test func aSagaOfAnEarlierVersionGoesOnByItsOwnRules() throws {
        var world = World()
        let id = try world.boot()
        let saga: SagaID = ids.next()
        _ = world.plan { $0.act(makeOrder(.delete, id, sagaID: saga)) }
        world.snapshot.sagas[saga]?.version = 1
        var pursuit = try #require(try world.resume(saga))
        for _ in 0..<(2 * ServerSaga.destroyAttempts) {
            guard case .applied(let next?) = world.report(pursuit, brokenSpawn) else {
                Issue.record("given up")
                return
            }
            pursuit = next
        }
        #expect(world.report(pursuit, .succeeded(power: .noState)) == .applied(nil))
        #expect(try world.instance(id).state.vm == .deleted)
    }

    @Test func everySagaOfAServerHasALaterTurn() throws {
        var world = World()
        let id = try world.boot()
        var turns = world.snapshot.sagas.values.compactMap(\.input.turn)
        for action in [ServerAction.stop, .start, .reboot(hard: true), .delete] {
            let saga: SagaID = ids.next()
            _ = world.plan { $0.act(makeOrder(action, id, sagaID: saga)) }
            let pursuit = try #require(try world.resume(saga))
            #expect(pursuit.command.turn == world.snapshot.sagas[saga]?.input.turn)
            turns.append(try #require(pursuit.command.turn))
            world.report(pursuit, .succeeded(power: .running))
        }
        #expect(turns == turns.sorted() && Set(turns).count == 5)
    }

    @Test func whatAFencedConductorStillWantsIsRefused() throws {
        var world = World()
        let (_, saga) = try world.admit()
        let pursuit = try #require(try world.resume(saga))
        let mine = SagaLease(owner: "a", duration: .seconds(10))
        let theirs = SagaLease(owner: "b", duration: .seconds(10))
        let timeout = SagaEvent.timedOut(step: "spawn", generation: pursuit.command.key.generation)
        var plan = CellPlan(world.snapshot, now: testEpoch)
        _ = plan.move(saga, by: .resume, ownership: .taken(theirs))
        let log = plan.snapshot.sagas[saga]?.log
        #expect(
            plan.move(saga, by: timeout, ownership: .taken(mine), onlyUnder: pursuit.leaseEpoch) == .failure(.fenced))
        #expect(plan.snapshot.sagas[saga]?.log == log)
        #expect(plan.snapshot.sagas[saga]?.holder?.owner == "b")
    }
}
