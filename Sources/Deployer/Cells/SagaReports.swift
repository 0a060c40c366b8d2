/// A saga as the cells API shows it: what is being done to a server, step by step.
package struct SagaReport: Codable, Sendable, Equatable {
    package struct Lease: Codable, Sendable, Equatable {
        package var owner: String
        package var until: String
    }

    /// One attempt of a step, or of its undo.
    package struct Step: Codable, Sendable, Equatable {
        package var step: String
        package var isUndo: Bool
        package var generation: Int
        package var startedAt: String
        package var finishedAt: String?
        /// `success` or `error`; nil as long as that is not known.
        package var result: String?
        package var reason: String?
        package var details: String?
    }

    package struct Entry: Codable, Sendable, Equatable {
        package var at: String
        package var event: String
        package var step: String?
        package var generation: Int?
        package var reason: String?
    }

    package var id: String
    package var name: String
    package var version: Int
    /// `live`, `parked`, `abandoned`, `succeeded`, `failed` or `cancelled`.
    package var state: String
    package var serverId: String
    package var cell: String
    package var host: String
    package var attempt: Int
    package var requestId: String
    package var createdAt: String
    package var changedAt: String
    package var endedAt: String?
    package var message: String?
    package var step: String?
    package var isUndoing: Bool
    package var tries: Int
    package var failure: String?
    package var leaseEpoch: Int
    package var lease: Lease?
    package var remains: String
    /// Only where one saga is asked for.
    package var steps: [Step]?
    package var log: [Entry]?
}

/// Sagas of all cells that answer.
package struct SagaList: Codable, Sendable, Equatable {
    package struct SilentCell: Codable, Sendable, Equatable {
        package var path: String
        package var reason: String
    }

    /// Oldest first.
    package var sagas: [SagaReport]
    /// Cells that can't be asked, and why: there may be sagas in them.
    package var cellsSilent: [SilentCell]

    package init(sagas: [SagaReport], cellsSilent: [SilentCell]) {
        self.sagas = sagas
        self.cellsSilent = cellsSilent
    }
}
