package import CloudModel
package import FoundationEssentials

// What operators ask of a leaf about its sagas. A branch passes these on to the leaf that they name.

/// How a run of a saga is.
package enum SagaState: String, Codable, Sendable, CaseIterable {
    case live, succeeded, failed, cancelled
    /// Neither done nor undone: an operator must look.
    case parked
    /// An operator looked, and gave it up.
    case abandoned

    /// It has not come to its end: somebody, or something, must still act.
    package var isOpen: Bool { self == .live || self == .parked }
}

/// Which sagas, oldest first.
package struct SagaFilter: Codable, Sendable, Equatable {
    /// Where a page begins: behind this one.
    package struct Position: Codable, Sendable, Equatable, Comparable {
        package var createdAt: Date
        package var id: SagaID
        package init(createdAt: Date, id: SagaID) {
            self.createdAt = createdAt
            self.id = id
        }

        package static func < (left: Position, right: Position) -> Bool {
            (left.createdAt, left.id) < (right.createdAt, right.id)
        }
    }

    package var states: [SagaState]
    package var server: ServerID?
    package var host: HostName?
    package var createdBefore: Date?
    package var after: Position?
    package var limit: Int

    package init(
        states: [SagaState] = [.live, .parked], server: ServerID? = nil, host: HostName? = nil,
        createdBefore: Date? = nil, after: Position? = nil, limit: Int = SagasRequest.pageLimit
    ) {
        self.states = states
        self.server = server
        self.host = host
        self.createdBefore = createdBefore
        self.after = after
        self.limit = limit
    }
}

/// List a leaf's sagas, without what they did.
package struct SagasRequest: CellRequest {
    package static let kind = "cell.sagas"
    /// Sagas of one answer, at most.
    package static let pageLimit = 1000

    package struct Reply: Codable, Sendable {
        package var sagas: [SagaDescription]
        package init(sagas: [SagaDescription]) { self.sagas = sagas }
    }

    package var filter: SagaFilter
    package init(filter: SagaFilter) { self.filter = filter }
}

/// Show one of a leaf's sagas with everything that it did.
package struct SagaRequest: CellRequest {
    package static let kind = "cell.saga"

    package enum Reply: Codable, Sendable, Equatable {
        case found(SagaDescription)
        case notFound
    }

    package var id: SagaID
    package init(id: SagaID) { self.id = id }
}

/// An operator's word on a saga that does not end by itself. Answered when it is durable.
package struct SagaOrderRequest: CellRequest, Equatable {
    package static let kind = "cell.saga-order"
    /// Characters of a reason.
    package static let reasonLimit = 255

    package enum Order: Codable, Sendable, Equatable {
        /// A parked one goes on at the step where it stood, with all its attempts anew.
        case retry
        /// It is neither done nor undone, and nobody will; its server is in ERROR.
        case abandon(reason: String?)
    }

    package enum Reply: Codable, Sendable, Equatable {
        /// As it is now.
        case done(SagaDescription)
        /// Its state, or its server's, forbids it.
        case conflict(message: String)
        case notFound
    }

    package var id: SagaID
    package var order: Order
    package init(id: SagaID, order: Order) {
        self.id = id
        self.order = order
    }
}

/// One run of a saga as operators see it.
package struct SagaDescription: Codable, Sendable, Equatable {
    /// Who drives it.
    package struct Lease: Codable, Sendable, Equatable {
        package var owner: String
        package var until: Date
        package init(owner: String, until: Date) {
            self.owner = owner
            self.until = until
        }
    }

    /// One line of its log.
    package struct Entry: Codable, Sendable, Equatable {
        package var at: Date
        /// `started`, `succeeded`, `failed`, `undo-started`, `undo-finished`, `undo-failed`, `cancelled`, `announced`,
        /// `retried`, `abandoned`; newer releases may have more.
        package var event: String
        package var step: String?
        package var generation: Int?
        /// Why, of a failure (for operators) and of an operator's own word.
        package var reason: String?
        package init(
            at: Date, event: String, step: String? = nil, generation: Int? = nil, reason: String? = nil
        ) {
            self.at = at
            self.event = event
            self.step = step
            self.generation = generation
            self.reason = reason
        }
    }

    package var id: SagaID
    package var name: String
    package var version: Int
    package var state: SagaState
    package var serverID: ServerID
    package var host: HostName
    /// The build attempt of the server that it belongs to.
    package var epoch: Int
    package var requestID: String
    package var createdAt: Date
    /// Of the newest line of its log.
    package var changedAt: Date
    package var endedAt: Date?
    /// Why it did not succeed, safe for the server's users.
    package var message: String?
    /// The step where it stands, or stood when it ended; nil before the first.
    package var step: String?
    package var isUndoing: Bool
    /// Attempts of that step, or of its undo, so far.
    package var tries: Int
    /// What went wrong last, for operators.
    package var failure: String?
    /// Nil when nobody drives it.
    package var lease: Lease?
    /// Grows with every new holder.
    package var leaseEpoch: Int
    /// What may stay behind if it is given up.
    package var remains: String
    /// Only where one saga is asked for.
    package var steps: [StepRun]?
    package var log: [Entry]?

    package init(
        id: SagaID, name: String, version: Int, state: SagaState, serverID: ServerID, host: HostName, epoch: Int,
        requestID: String, createdAt: Date, changedAt: Date, endedAt: Date?, message: String?, step: String?,
        isUndoing: Bool, tries: Int, failure: String?, lease: Lease?, leaseEpoch: Int, remains: String,
        steps: [StepRun]? = nil, log: [Entry]? = nil
    ) {
        self.id = id
        self.name = name
        self.version = version
        self.state = state
        self.serverID = serverID
        self.host = host
        self.epoch = epoch
        self.requestID = requestID
        self.createdAt = createdAt
        self.changedAt = changedAt
        self.endedAt = endedAt
        self.message = message
        self.step = step
        self.isUndoing = isUndoing
        self.tries = tries
        self.failure = failure
        self.lease = lease
        self.leaseEpoch = leaseEpoch
        self.remains = remains
        self.steps = steps
        self.log = log
    }

    package var position: SagaFilter.Position { .init(createdAt: createdAt, id: id) }
}

/// One attempt of a step, or of its undo, as a saga's log tells it.
package struct StepRun: Codable, Sendable, Equatable {
    package var step: String
    package var isUndo: Bool
    package var generation: Int
    package var startedAt: Date
    /// Nil while it runs, or when it was overtaken.
    package var finishedAt: Date?
    /// Nil as long as that is not known.
    package var isSuccess: Bool?
    /// Why it failed, safe for the server's users.
    package var reason: String?
    /// The same for operators.
    package var details: String?

    package init(
        step: String, isUndo: Bool, generation: Int, startedAt: Date, finishedAt: Date? = nil, isSuccess: Bool? = nil,
        reason: String? = nil, details: String? = nil
    ) {
        self.step = step
        self.isUndo = isUndo
        self.generation = generation
        self.startedAt = startedAt
        self.finishedAt = finishedAt
        self.isSuccess = isSuccess
        self.reason = reason
        self.details = details
    }
}
