import CellProtocol
import CloudModel
import FoundationEssentials
import Primitives
import SagaEngine
import Testing

@testable import ServerLifecycle

@Suite struct BootPlanTests {
    @Test func aBuildBecomesAServerASagaAndAnActionAndNoNews() throws {
        var world = World()
        let (id, saga) = try world.admit()
        #expect(try world.instance(id).state == ServerState(vm: .building, task: .networking, power: .noState))
        #expect(world.live(id).map(\.id) == [saga])
        #expect(world.actions.map(\.action) == ["create"])
        #expect(world.actions.first?.sagaID == saga)
        #expect(world.events.isEmpty)
    }

    @Test func aServerThatWasBuiltIsActiveAndItsParentHearsOfIt() throws {
        var world = World()
        let (id, saga) = try world.admit()
        let pursuit = try #require(try world.resume(saga))
        #expect(try world.instance(id).state.task == .spawning)
        #expect(world.events.isEmpty)
        guard case .spawn(let guest) = pursuit.command.work else {
            Issue.record("not a spawn")
            return
        }
        #expect(guest.publicKey == "ssh-ed25519 AAAA")
        #expect(guest.ticket != nil)
        #expect(pursuit.deadline == testEpoch + 1 + 600)
        #expect(pursuit.patienceEnds == nil)
        #expect(world.report(pursuit, .succeeded(power: .running)) == .applied(nil))
        let instance = try world.instance(id)
        #expect(instance.state == ServerState(vm: .active, task: nil, power: .running))
        #expect(instance.launchedAt != nil)
        #expect(world.events == [.instanceChanged(InstanceSummary(instance))])
        #expect(world.live(id).isEmpty)
    }

    @Test func aReportThatComesTwiceIsTakenOnce() throws {
        var world = World()
        let (id, saga) = try world.admit()
        let pursuit = try #require(try world.resume(saga))
        world.report(pursuit, .succeeded(power: .running))
        let version = try world.instance(id).version
        #expect(world.report(pursuit, .succeeded(power: .running)) == .stale)
        #expect(try world.instance(id).version == version)
        #expect(world.events.count == 1)
    }

    @Test func aReportOfAnotherHostIsRefused() throws {
        var world = World()
        let (id, saga) = try world.admit()
        let pursuit = try #require(try world.resume(saga))
        #expect(world.report(pursuit, .succeeded(power: .running), from: "host-2") == .foreign)
        #expect(try world.instance(id).state.vm == .building)
    }

    @Test func aReportAboutAnotherServerThanTheSagasIsRefused() throws {
        var world = World()
        let (_, saga) = try world.admit()
        var pursuit = try #require(try world.resume(saga))
        pursuit.command.instanceID = ids.next()
        #expect(world.report(pursuit, .succeeded(power: .running)) == .foreign)
    }

    @Test func aFailedBuildIsUndoneOnItsHostAndThenTold() throws {
        var world = World()
        let (id, saga) = try world.admit()
        let spawn = try #require(try world.resume(saga))
        guard case .applied(let undo?) = world.report(spawn, brokenSpawn) else {
            Issue.record("no undo")
            return
        }
        #expect(undo.isUndo)
        #expect(undo.command.work == .destroy)
        #expect(undo.command.key.step == "spawn.undo")
        #expect(undo.deadline == nil)
        #expect(undo.patienceEnds != nil)
        #expect(world.events.isEmpty)
        #expect(try world.instance(id).state.vm == .building)
        #expect(world.report(undo, .succeeded(power: .noState)) == .applied(nil))
        #expect(
            world.events == [
                .buildFailed(BuildFailure(id: id, epoch: 1, host: "host-1", reason: "No disk space."))
            ])
        let instance = try world.instance(id)
        #expect(instance.state.vm == .error)
        #expect(instance.fault?.message == "No disk space.")
        #expect(instance.fault?.details == "ENOSPC")
    }

    @Test func aFailureThatMayPassIsTriedAgainLaterAndUnderANewKey() throws {
        var world = World()
        let (_, saga) = try world.admit()
        let first = try #require(try world.resume(saga))
        guard case .applied(let second?) = world.report(first, busySpawn) else {
            Issue.record("no second attempt")
            return
        }
        #expect(!second.isUndo)
        #expect(second.command.key.generation > first.command.key.generation)
        #expect(second.notBefore > world.now)
        guard case .applied(let undo?) = world.report(second, busySpawn) else {
            Issue.record("no undo")
            return
        }
        #expect(undo.isUndo)
    }

    @Test func anUndoThatTakesTooLongIsToldBeforeItEndsAndOnlyOnce() throws {
        var world = World()
        let (id, saga) = try world.admit()
        let spawn = try #require(try world.resume(saga))
        world.report(spawn, brokenSpawn)
        let undo = try #require(try world.resume(saga))
        let overdue = SagaEvent.undoOverdue(step: "spawn", generation: undo.command.key.generation)
        let next = try world.plan { try $0.move(saga, by: overdue, ownership: .unchanged).get() }
        #expect(next?.patienceEnds == nil)
        #expect(world.events.count == 1)
        #expect(try world.instance(id).state.vm == .error)
        #expect(world.live(id).count == 1)
        #expect(world.report(undo, .succeeded(power: .noState)) == .applied(nil))
        #expect(world.events.count == 1)
        #expect(world.live(id).isEmpty)
    }

    @Test func anUndoIsRepeatedManyTimes() throws {
        var world = World()
        let (_, saga) = try world.admit()
        let spawn = try #require(try world.resume(saga))
        world.report(spawn, brokenSpawn)
        var undo = try #require(try world.resume(saga))
        for _ in 1..<ServerSaga.destroyAttempts {
            guard case .applied(let next?) = world.report(undo, brokenSpawn) else {
                Issue.record("given up")
                return
            }
            #expect(next.command.key.generation > undo.command.key.generation)
            #expect(next.notBefore.timeIntervalSince(world.now) <= 60)
            undo = next
        }
        #expect(world.report(undo, .succeeded(power: .noState)) == .applied(nil))
    }

    @Test func aBuildThatTakesTooLongFails() throws {
        var world = World()
        let (_, saga) = try world.admit()
        let spawn = try #require(try world.resume(saga))
        let late = SagaEvent.timedOut(step: "spawn", generation: spawn.command.key.generation)
        let undo = try #require(try world.plan { try $0.move(saga, by: late, ownership: .unchanged).get() })
        #expect(undo.command.work == .destroy)
        #expect(world.report(spawn, .succeeded(power: .running)) == .stale)
        #expect(world.report(undo, .succeeded(power: .noState)) == .applied(nil))
        #expect(world.events.count == 1)
    }

    @Test func aSuccessAfterTheEndOfAFailedBuildIsRemovedFromTheHost() throws {
        var world = World()
        let (id, saga) = try world.admit()
        let spawn = try #require(try world.resume(saga))
        world.report(spawn, brokenSpawn)
        world.report(try #require(try world.resume(saga)), .succeeded(power: .noState))
        guard case .orphan(let command, _) = world.report(spawn, .succeeded(power: .running)) else {
            Issue.record("not removed")
            return
        }
        #expect(command.work == .destroy)
        #expect(command.instanceID == id)
        #expect(command.epoch == 1)
    }

    @Test func resumingRepeatsTheSameCommandWithTheSameDeadline() throws {
        var world = World()
        let (_, saga) = try world.admit()
        let first = try #require(try world.resume(saga))
        world.now += 100
        #expect(try world.resume(saga) == first)
    }
}

@Suite struct AdmissionPlanTests {
    @Test func aRepeatIsTakenAndChangesNothing() throws {
        var world = World()
        let instance = makeInstance()
        let (id, _) = try world.admit(instance)
        let before = world.snapshot
        let refusal = world.plan { $0.admit(makeBuild(instance), sagaID: ids.next(), caller: user, traceParent: nil) }
        #expect(refusal == nil)
        #expect(world.snapshot.servers == before.servers)
        #expect(world.live(id).count == 1)
    }

    @Test func anAttemptThatIsOverIsBuiltAnewUnderItsNextEpoch() throws {
        var world = World()
        let (id, saga) = try world.admit()
        world.report(try #require(try world.resume(saga)), brokenSpawn)
        world.report(try #require(try world.resume(saga)), .succeeded(power: .noState))
        let old = try world.instance(id)
        let (_, next) = try world.admit(makeInstance(id, host: "host-2", epoch: 2))
        let instance = try world.instance(id)
        #expect(instance.host == "host-2")
        #expect(instance.fault == nil)
        #expect(instance.version > old.version)
        #expect(world.live(id).map(\.id) == [next])
    }

    @Test func anAttemptWhoseUndoGoesOnElsewhereMayBeBuiltAnew() throws {
        var world = World()
        let (id, saga) = try world.admit()
        world.report(try #require(try world.resume(saga)), brokenSpawn)
        let undo = try #require(try world.resume(saga))
        try world.plan {
            _ = try $0.move(
                saga, by: .undoOverdue(step: "spawn", generation: undo.command.key.generation), ownership: .unchanged
            ).get()
        }
        let (_, next) = try world.admit(makeInstance(id, host: "host-2", epoch: 2))
        let spawn = try #require(try world.resume(next))
        #expect(world.report(spawn, .succeeded(power: .running)) == .applied(nil))
        let before = try world.instance(id)
        // The old host comes back and is cleaned; the server on the new one is none of its business.
        #expect(world.report(undo, .succeeded(power: .noState)) == .applied(nil))
        #expect(try world.instance(id) == before)
        #expect(before.state.vm == .active)
    }

    @Test func whatCannotBeBuiltIsRefusedWithAReason() throws {
        var world = World()
        let (id, _) = try world.admit(makeInstance(epoch: 2))
        func refusal(_ instance: Instance) -> String? {
            world.plan { $0.admit(makeBuild(instance), sagaID: ids.next(), caller: nil, traceParent: nil) }
        }
        #expect(refusal(makeInstance(host: "elsewhere"))?.contains("no host elsewhere") == true)
        #expect(refusal(makeInstance(id, epoch: 1))?.contains("overtaken") == true)
        #expect(refusal(makeInstance(id, epoch: 3))?.contains("not over") == true)
        var active = makeInstance()
        active.state = ServerState(vm: .active, task: nil, power: .running)
        #expect(refusal(active) != nil)
    }
}
