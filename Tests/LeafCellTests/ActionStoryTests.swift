import CellProtocol
import CloudModel
import FoundationEssentials
import MessageBus
import Primitives
import SagaEngine
import Testing

@testable import ServerLifecycle

/// What was asked of a server, told from the logs of its sagas.
@Suite(.timeLimit(.minutes(3))) struct ActionStoryTests {
    @Test(arguments: StoreKind.available) func aStopTellsWhoAskedAndEveryAttempt(kind: StoreKind) async throws {
        try await LeafCell.with(kind) { leaf in
            let id = try await leaf.boot()
            leaf.hosts[0].obey { _ in brokenSpawn }
            _ = try await leaf.act(.stop, id)
            try await leaf.waitUntil(id, .active)
            try await eventually("ended") {
                try await leaf.call(ActionsRequest(id: id)).actions.allSatisfy { $0.finishedAt != nil }
            }
            let all = try await leaf.call(ActionsRequest(id: id)).actions
            #expect(all.map(\.action) == ["stop", "create"] && all.allSatisfy { $0.steps.isEmpty })
            #expect(all[0].message == "No disk space." && all[0].updatedAt == all[0].finishedAt)
            let stop = try #require(try await leaf.call(ActionsRequest(id: id, requestID: "req-1")).actions.first)
            #expect(stop.userID == "user" && stop.host == "host-1")
            #expect(stop.steps.map(\.step) == ["stop"] && stop.steps.first?.isSuccess == false)
            #expect(stop.steps.first?.details == "ENOSPC")
            let stranger = Caller(userID: "x", projectID: "other", roles: ["member"])
            #expect(try await leaf.call(ActionsRequest(id: id), as: stranger).actions.isEmpty)
            #expect(try await leaf.call(ActionsRequest(id: ids.next()), as: admin).actions.isEmpty)
        }
    }

    @Test func aDeleteThatMeetsABootTellsTheUndoAsItsOwn() throws {
        var world = World()
        let (id, saga) = try world.admit()
        _ = try world.resume(saga)
        _ = world.plan { $0.act(makeOrder(.delete, id)) }
        world.report(try #require(try world.resume(saga)), .succeeded(power: .noState))
        let actions = ActionStory.tell(
            world.actions.reversed(), sagas: Array(world.snapshot.sagas.values), isWhole: true)
        #expect(actions.map(\.action) == ["delete", "create"])
        #expect(actions[0].steps.map(\.isUndo) == [true] && actions[0].steps[0].isSuccess == true)
        #expect(actions[1].steps.map(\.isUndo) == [false] && actions[1].steps[0].isSuccess == nil)
    }

    @Test func whatRunsWasChangedWhenItsLastStepBegan() throws {
        var world = World()
        let (_, saga) = try world.admit()
        let pursuit = try #require(try world.resume(saga))
        world.report(pursuit, busySpawn)
        let record = try #require(world.snapshot.sagas[saga])
        let action = try #require(ActionStory.tell(world.actions, sagas: [record], isWhole: false).first)
        #expect(action.updatedAt == record.log.last?.at && action.finishedAt == nil && action.steps.isEmpty)
    }
}
