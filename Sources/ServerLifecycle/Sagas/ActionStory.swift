package import CellProtocol
import CloudModel
import FoundationEssentials

/// Instance actions as views of the sagas' logs. Pure.
package enum ActionStory {
    /// - Parameters:
    ///   - actions: of one server, newest first.
    ///   - sagas: those that carry them out, as far as they are to be told.
    ///   - isWhole: with their steps.
    package static func tell(
        _ actions: [CellActionRecord], sagas: [SagaRecord], isWhole: Bool
    ) -> [ActionsRequest.Action] {
        let byID = Dictionary(sagas.map { ($0.id, $0) }) { first, _ in first }
        return actions.enumerated().map { index, action in
            let saga = action.sagaID.flatMap { byID[$0] }
            // A delete that met a boot goes on in the boot's saga: what came after it is its own.
            let next = actions[..<index].last { $0.sagaID != nil && $0.sagaID == action.sagaID }
            let runs = saga?.runs.filter { run in
                run.startedAt >= action.startedAt && next.map { run.startedAt < $0.startedAt } ?? true
            }
            let changed =
                ([action.startedAt, action.finishedAt] + (runs ?? []).flatMap { [$0.startedAt, $0.finishedAt] })
                .compactMap { $0 }
            return ActionsRequest.Action(
                action: action.action, requestID: action.requestID, userID: action.userID,
                projectID: action.projectID, startedAt: action.startedAt, finishedAt: action.finishedAt,
                updatedAt: changed.max() ?? action.startedAt, message: action.message, host: saga?.host,
                steps: isWhole ? runs ?? [] : [])
        }
    }
}
