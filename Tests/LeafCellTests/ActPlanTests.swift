import CellProtocol
import CloudModel
import FoundationEssentials
import MessageBus
import Primitives
import SagaEngine
import Testing

@testable import ServerLifecycle

@Suite struct ActPlanTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let action: ServerAction
        let before: ServerState
        let during: TaskState
        let after: ServerState
        let afterFailure: ServerState
        var testDescription: String { action.name }
    }

    static let running = ServerState(vm: .active, task: nil, power: .running)
    static let stopped = ServerState(vm: .stopped, task: nil, power: .shutdown)

    static let cases = [
        Case(action: .stop, before: running, during: .poweringOff, after: stopped, afterFailure: running),
        Case(action: .start, before: stopped, during: .poweringOn, after: running, afterFailure: stopped),
        Case(
            action: .reboot(hard: false), before: running, during: .rebooting, after: running, afterFailure: running),
        Case(
            action: .reboot(hard: true), before: running, during: .rebootingHard, after: running,
            afterFailure: ServerState(vm: .error, task: nil, power: .running)),
    ]

    private func world(in state: ServerState) throws -> (World, ServerID) {
        var world = World()
        let id = try world.boot()
        world.snapshot.servers[id]?.instance.state = state
        world.events = []
        return (world, id)
    }

    @Test(arguments: cases) func anActionIsASagaThatEndsInItsState(_ test: Case) throws {
        var (world, id) = try world(in: test.before)
        let saga: SagaID = ids.next()
        let outcome = world.plan { $0.act(makeOrder(test.action, id, sagaID: saga)) }
        #expect(outcome == .accepted(try world.instance(id)))
        #expect(try world.instance(id).state.task == test.during)
        #expect(world.actions.last?.action == test.action.name)
        let pursuit = try #require(try world.resume(saga))
        #expect(world.report(pursuit, .succeeded(power: test.after.power)) == .applied(nil))
        #expect(try world.instance(id).state == test.after)
        #expect(world.live(id).isEmpty)
    }

    @Test(arguments: cases) func anActionThatFailsLeavesTheServerAsTheTableSays(_ test: Case) throws {
        var (world, id) = try world(in: test.before)
        let saga: SagaID = ids.next()
        _ = world.plan { $0.act(makeOrder(test.action, id, sagaID: saga)) }
        #expect(world.report(try #require(try world.resume(saga)), brokenSpawn) == .applied(nil))
        #expect(try world.instance(id).state == test.afterFailure)
        #expect((try world.instance(id).fault != nil) == (test.afterFailure.vm == .error))
    }

    @Test func theSameKeyHasItsEffectOnce() throws {
        var (world, id) = try world(in: Self.running)
        _ = world.plan { $0.act(makeOrder(.stop, id, key: "k")) }
        let version = try world.instance(id).version
        let again = world.plan { $0.act(makeOrder(.stop, id, key: "k")) }
        #expect(again == .accepted(try world.instance(id)))
        #expect(try world.instance(id).version == version)
        #expect(world.live(id).count == 1)
    }

    @Test func whatTheTableForbidsIsAConflict() throws {
        var (world, id) = try world(in: Self.stopped)
        #expect(world.plan { $0.act(makeOrder(.stop, id)) } == .conflict("vm_state stopped"))
        _ = world.plan { $0.act(makeOrder(.start, id)) }
        #expect(world.plan { $0.act(makeOrder(.start, id)) } == .conflict("task_state powering-on"))
    }

    @Test func aHardRebootOvertakesASoftOne() throws {
        var (world, id) = try world(in: Self.running)
        let soft: SagaID = ids.next()
        let hard: SagaID = ids.next()
        _ = world.plan { $0.act(makeOrder(.reboot(hard: false), id, sagaID: soft)) }
        let first = try #require(try world.resume(soft))
        _ = world.plan { $0.act(makeOrder(.reboot(hard: true), id, sagaID: hard)) }
        #expect(world.live(id).map(\.id) == [hard])
        #expect(world.report(first, .succeeded(power: .running)) == .stale)
        #expect(try world.instance(id).state.task == .rebootingHard)
    }

    @Test func anotherProjectsServerIsNotThere() throws {
        var (world, id) = try world(in: Self.running)
        let stranger = Caller(userID: "u", projectID: "other", roles: ["member"])
        #expect(world.plan { $0.act(makeOrder(.stop, id, caller: stranger)) } == .notFound)
        #expect(world.plan { $0.act(makeOrder(.stop, ids.next())) } == .notFound)
        #expect(world.plan { $0.act(makeOrder(.stop, id, caller: admin)) } != .notFound)
    }

    @Test func aLockedServerObeysOnlyAdministrators() throws {
        var (world, id) = try world(in: Self.running)
        _ = world.plan { $0.act(makeOrder(.lock(reason: "mine"), id)) }
        #expect(try world.instance(id).isLocked)
        for action in [ServerAction.stop, .delete, .reboot(hard: true), .mergeMetadata(["a": "b"])] {
            #expect(world.plan { $0.act(makeOrder(action, id)) } == .locked)
        }
        #expect(world.plan { $0.act(makeOrder(.stop, id, caller: admin)) } == .accepted(try world.instance(id)))
        _ = world.plan { $0.act(makeOrder(.unlock, id)) }
        #expect(try !world.instance(id).isLocked)
        #expect(world.actions.suffix(3).map(\.action) == ["lock", "stop", "unlock"])
    }

    @Test func changesOfTheDocumentAreNewsOnlyWhereTheDirectoryKnowsThem() throws {
        var (world, id) = try world(in: Self.running)
        _ = world.plan { $0.act(makeOrder(.mergeMetadata(["a": "b"]), id)) }
        #expect(try world.instance(id).metadata == ["a": "b"])
        #expect(world.events.isEmpty)
        _ = world.plan { $0.act(makeOrder(.replaceMetadata(["c": "d"]), id)) }
        #expect(try world.instance(id).metadata == ["c": "d"])
        #expect(world.plan { $0.act(makeOrder(.removeMetadata(key: "a"), id)) } != .accepted(try world.instance(id)))
        _ = world.plan { $0.act(makeOrder(.removeMetadata(key: "c"), id)) }
        #expect(try world.instance(id).metadata.isEmpty)
        _ = world.plan { $0.act(makeOrder(.update(ServerChanges(name: "new", description: .set("d"))), id)) }
        #expect(try world.instance(id).name == "new")
        #expect(try world.instance(id).description == "d")
        #expect(world.events.count == 1)
    }

    @Test func aStepWithinAnActionIsNoNews() throws {
        var (world, id) = try world(in: Self.running)
        _ = world.plan { $0.act(makeOrder(.stop, id)) }
        #expect(world.events.isEmpty)
    }

    // MARK: Deleting

    @Test func aDeletedServerIsUndoneOnItsHostAndThenGone() throws {
        var (world, id) = try world(in: Self.running)
        let saga: SagaID = ids.next()
        _ = world.plan { $0.act(makeOrder(.delete, id, sagaID: saga)) }
        #expect(try world.instance(id).state.task == .deleting)
        let destroy = try #require(try world.resume(saga))
        #expect(destroy.command.work == .destroy)
        #expect(destroy.deadline == nil)
        // A host that can't yet is asked again and again.
        guard case .applied(let again?) = world.report(destroy, brokenSpawn) else {
            Issue.record("given up")
            return
        }
        #expect(world.report(again, .succeeded(power: .noState)) == .applied(nil))
        let instance = try world.instance(id)
        #expect(instance.state.vm == .deleted)
        #expect(instance.terminatedAt != nil)
        #expect(
            world.events == [
                .instanceDeleted(InstanceDeletion(id: id, version: instance.version, deletedAt: world.now - 1))
            ])
        #expect(world.plan { $0.act(makeOrder(.delete, id)) } == .notFound)
    }

    @Test func askedTwiceADeleteGoesOn() throws {
        var (world, id) = try world(in: Self.running)
        _ = world.plan { $0.act(makeOrder(.delete, id)) }
        #expect(world.plan { $0.act(makeOrder(.delete, id)) } == .accepted(try world.instance(id)))
        #expect(world.live(id).count == 1)
    }

    @Test func aDeleteWhoseSagaIsParkedIsTakenUpAnew() throws {
        var (world, id) = try world(in: Self.running)
        let first: SagaID = ids.next()
        _ = world.plan { $0.act(makeOrder(.delete, id, sagaID: first)) }
        world.snapshot.sagas[first]?.state = .parked
        _ = world.plan { $0.act(makeOrder(.delete, id)) }
        #expect(world.live(id).count == 1)
    }

    @Test func aDeleteBeforeTheBootBeganEndsBothAtOnce() throws {
        var world = World()
        let (id, _) = try world.admit()
        _ = world.plan { $0.act(makeOrder(.delete, id)) }
        #expect(try world.instance(id).state.vm == .deleted)
        #expect(world.live(id).isEmpty)
        #expect(world.actions.last?.finishedAt != nil)
        guard case .instanceDeleted = world.events.last else {
            Issue.record("not told")
            return
        }
    }

    @Test func aDeleteDuringTheBootIsAnEventToTheSameSaga() throws {
        var world = World()
        let (id, saga) = try world.admit()
        let spawn = try #require(try world.resume(saga))
        _ = world.plan { $0.act(makeOrder(.delete, id)) }
        #expect(world.live(id).map(\.id) == [saga])
        #expect(world.actions.last?.sagaID == saga)
        let undo = try #require(try world.resume(saga))
        #expect(undo.command.work == .destroy)
        #expect(undo.patienceEnds == nil)
        #expect(world.report(spawn, .succeeded(power: .running)) == .stale)
        #expect(world.report(undo, .succeeded(power: .noState)) == .applied(nil))
        #expect(try world.instance(id).state.vm == .deleted)
        #expect(world.events.count == 1)
    }

    @Test func aDeleteDuringTheUndoOfABootEndsAsADelete() throws {
        var world = World()
        let (id, saga) = try world.admit()
        world.report(try #require(try world.resume(saga)), brokenSpawn)
        let undo = try #require(try world.resume(saga))
        _ = world.plan { $0.act(makeOrder(.delete, id)) }
        #expect(world.report(undo, .succeeded(power: .noState)) == .applied(nil))
        #expect(try world.instance(id).state.vm == .deleted)
        guard case .instanceDeleted = world.events.last else {
            Issue.record("not told")
            return
        }
        #expect(world.events.count == 1)
    }

    @Test func aDeleteAfterAFailedBootWorks() throws {
        var world = World()
        let (id, saga) = try world.admit()
        world.report(try #require(try world.resume(saga)), brokenSpawn)
        world.report(try #require(try world.resume(saga)), .succeeded(power: .noState))
        let delete: SagaID = ids.next()
        _ = world.plan { $0.act(makeOrder(.delete, id, sagaID: delete)) }
        world.report(try #require(try world.resume(delete)), .succeeded(power: .noState))
        #expect(try world.instance(id).state.vm == .deleted)
    }

    @Test(arguments: cases) func aDeleteDuringAnActionOvertakesIt(_ test: Case) throws {
        var (world, id) = try world(in: test.before)
        let action: SagaID = ids.next()
        let delete: SagaID = ids.next()
        _ = world.plan { $0.act(makeOrder(test.action, id, sagaID: action)) }
        let first = try #require(try world.resume(action))
        _ = world.plan { $0.act(makeOrder(.delete, id, sagaID: delete)) }
        #expect(world.live(id).map(\.id) == [delete])
        #expect(world.report(first, .succeeded(power: .running)) == .stale)
        world.report(try #require(try world.resume(delete)), .succeeded(power: .noState))
        #expect(try world.instance(id).state.vm == .deleted)
    }
}
