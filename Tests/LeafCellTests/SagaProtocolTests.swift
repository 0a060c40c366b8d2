import CellProtocol
import CloudModel
import FoundationEssentials
import MessageBus
import Primitives
import Testing

/// What operators ask of a leaf about its sagas, over its own queue.
@Suite(.serialized, .timeLimit(.minutes(2))) struct SagaProtocolTests {
    @Test(arguments: StoreKind.available) func anOperatorSeesASagaAndGivesItUp(kind: StoreKind) async throws {
        try await LeafCell.with(kind) { leaf in
            leaf.hosts[0].obey { _ in nil }
            let id = try await leaf.build(makeInstance())
            try await eventually("commanded") { !leaf.hosts[0].spawns.isEmpty }
            let list = try await leaf.call(SagasRequest(filter: SagaFilter(server: id)), as: admin).sagas
            let saga = try #require(list.first)
            #expect(saga.name == "boot" && saga.state == .live && saga.host == "host-1" && saga.step == "spawn")
            #expect(saga.lease?.owner == "c1" && saga.steps == nil && saga.requestID == "req-build")
            guard case .found(let whole) = try await leaf.call(SagaRequest(id: saga.id), as: admin) else {
                Issue.record("not found")
                return
            }
            #expect(whole.steps?.map(\.step) == ["spawn"] && whole.log?.map(\.event) == ["started"])
            let order = SagaOrderRequest(id: saga.id, order: .abandon(reason: "test"))
            await #expect(throws: CellFailure.self) { try await leaf.call(order, as: user) }
            guard case .done(let ended) = try await leaf.call(order, as: admin) else {
                Issue.record("refused")
                return
            }
            #expect(ended.state == .abandoned)
            try await leaf.waitUntil(id, .error)
            try await eventually("told") { leaf.parent.news(of: id).count == 1 }
            #expect(try await leaf.call(SagaRequest(id: ids.next()), as: admin) == .notFound)
            #expect(
                try await leaf.call(SagaOrderRequest(id: saga.id, order: .retry), as: admin)
                    == .conflict(message: "it is abandoned, and only a parked one can be"))
        }
    }

    @Test func whatIsParkedIsTriedAgainWhenItsHostIsMended() async throws {
        try await LeafCell.with { leaf in
            let id = try await leaf.boot()
            leaf.hosts[0].obey { _ in brokenSpawn }
            _ = try await leaf.act(.delete, id)
            var polls = 0
            try await eventually("parked") {
                // Each attempt waits longer than the last.
                if polls.isMultiple(of: 4) { leaf.wallClock.advance(by: 61) }
                polls += 1
                return try await !leaf.call(SagasRequest(filter: SagaFilter(states: [.parked])), as: admin).sagas
                    .isEmpty
            }
            #expect(try await leaf.state(id) == ServerState(vm: .error, task: nil, power: .running))
            leaf.hosts[0].obey(FakeAgent.obedient)
            let parked = try await leaf.call(SagasRequest(filter: SagaFilter()), as: admin).sagas
            let saga = try #require(parked.first?.id)
            guard case .done = try await leaf.call(SagaOrderRequest(id: saga, order: .retry), as: admin) else {
                Issue.record("refused")
                return
            }
            try await eventually("gone") { try await leaf.state(id)?.vm == .deleted }
            #expect(try await leaf.isCleared(id))
        }
    }
}
