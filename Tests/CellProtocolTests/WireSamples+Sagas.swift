import CellProtocol
import CloudModel
import FoundationEssentials
import Primitives

// What operators ask of a leaf about its sagas. An earlier release answers that it knows no such request.
extension WireSample {
    static let sagas: [WireSample] =
        [
            WireSample(ActionsRequest.kind, ActionsRequest(id: server, requestID: "req-1")),
            WireSample(
                ActionsRequest.kind + ".reply",
                ActionsRequest.Reply(actions: [
                    .init(
                        action: "stop", requestID: "req-1", userID: "u", projectID: "p", startedAt: date,
                        finishedAt: date, updatedAt: date, message: "no", host: "n1", steps: saga.steps ?? [])
                ])),
            WireSample(
                SagasRequest.kind,
                SagasRequest(
                    filter: SagaFilter(
                        states: SagaState.allCases, server: server, host: "n1", createdBefore: date,
                        after: .init(createdAt: date, id: saga.id), limit: 10))),
            WireSample(SagasRequest.kind + ".reply", SagasRequest.Reply(sagas: [saga])),
            WireSample(SagaRequest.kind, SagaRequest(id: saga.id)),
            WireSample(SagaOrderRequest.kind + ".retry", SagaOrderRequest(id: saga.id, order: .retry)),
            WireSample(
                SagaOrderRequest.kind + ".abandon", SagaOrderRequest(id: saga.id, order: .abandon(reason: "burnt"))),
        ]
        + [SagaRequest.Reply.found(saga), .notFound].map {
            WireSample("\(SagaRequest.kind).reply.\(name(of: $0))", $0)
        }
        + [SagaOrderRequest.Reply.done(saga), .conflict(message: "m"), .notFound].map {
            WireSample("\(SagaOrderRequest.kind).reply.\(name(of: $0))", $0)
        }

    private static func name(of reply: SagaRequest.Reply) -> String {
        switch reply {
        case .found: "found"
        case .notFound: "notFound"
        }
    }

    private static func name(of reply: SagaOrderRequest.Reply) -> String {
        switch reply {
        case .done: "done"
        case .conflict: "conflict"
        case .notFound: "notFound"
        }
    }

    private static let saga = SagaDescription(
        id: SagaID(identifier(9)), name: "delete", version: 2, state: .parked, serverID: server, host: "n1", epoch: 2,
        requestID: "req-1", createdAt: date, changedAt: date, endedAt: date, message: "no", step: "destroy",
        isUndoing: false, tries: 20, failure: "at all", lease: .init(owner: "c1", until: date), leaseEpoch: 3,
        remains: "The guest.",
        steps: [
            StepRun(
                step: "destroy", isUndo: false, generation: 1, startedAt: date, finishedAt: date, isSuccess: false,
                reason: "no", details: "at all")
        ],
        log: [.init(at: date, event: "failed", step: "destroy", generation: 1, reason: "at all")])
}
