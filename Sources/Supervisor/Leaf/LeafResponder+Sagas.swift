import CellProtocol
import CloudModel
import FoundationEssentials
import Logging
import MessageBus
import Primitives
import ServerLifecycle

// What operators ask about sagas, and decide.
extension LeafResponder {
    func sagas(_ request: SagasRequest) async throws -> SagasRequest.Reply {
        guard (1...SagasRequest.pageLimit).contains(request.filter.limit) else {
            throw CellFailure(message: "1 to \(SagasRequest.pageLimit) sagas in one answer")
        }
        let found = try await store.sagas(request.filter)
        return SagasRequest.Reply(sagas: found.map { SagaDescription($0, isWhole: false) })
    }

    func saga(_ request: SagaRequest) async throws -> SagaRequest.Reply {
        guard let saga = try await store.sagas([request.id]).first else { return .notFound }
        return .found(SagaDescription(saga, isWhole: true))
    }

    func order(_ request: SagaOrderRequest, _ envelope: Envelope) async throws -> SagaOrderRequest.Reply {
        guard envelope.caller?.isAdmin == true else { throw CellFailure(message: "only administrators may") }
        let now = parts.wallClock.now()
        let outcome = try await store.transact(CellScope(sagas: [request.id])) { snapshot in
            var plan = CellPlan(snapshot, now: now)
            let outcome = plan.order(request)
            // What is refused changes nothing.
            if case .done = outcome { return CellDecision(plan.changes(), outcome) }
            return CellDecision(CellChanges(), outcome)
        }
        switch outcome {
        case .done(let saga):
            parts.logger.notice(
                "an operator decided about a saga",
                metadata: [
                    "saga.id": "\(saga.id)", "server.id": "\(saga.serverID)", "order": "\(request.order)",
                    "user.id": "\(envelope.caller?.userID ?? "-")", "request.id": "\(envelope.requestID)",
                ])
            return .done(SagaDescription(saga, isWhole: true))
        case .conflict(let message): return .conflict(message: message)
        case .notFound: return .notFound
        }
    }
}

// What was asked of a server, and how it went.
extension LeafResponder {
    func actions(_ request: ActionsRequest, _ envelope: Envelope) async throws -> ActionsRequest.Reply {
        var actions = try await store.actions(of: request.id, limit: ActionsRequest.limit)
        // One project's server is never shown to another; what administrators did to it is shown to its own.
        if let caller = envelope.caller, !caller.isAdmin, !actions.contains(where: { $0.projectID == caller.projectID })
        {
            actions = []
        }
        if let wanted = request.requestID { actions.removeAll { $0.requestID != wanted } }
        // Without the steps, only what runs has more to tell than its action.
        let isWhole = request.requestID != nil
        let ids = Set(actions.filter { isWhole || $0.finishedAt == nil }.compactMap(\.sagaID))
        let sagas = ids.isEmpty ? [] : try await store.sagas(ids.sorted())
        return ActionsRequest.Reply(actions: ActionStory.tell(actions, sagas: sagas, isWhole: isWhole))
    }
}
