/// What a saga does, step by step. Stored runs name it by `name` and `version`: changed steps are a new version.
package struct SagaDefinition: Sendable, Equatable {
    package static let stepLimit = 32

    package let name: String
    package let version: Int
    package let steps: [SagaStep]

    package init(name: String, version: Int, steps: [SagaStep]) {
        precondition((1...Self.stepLimit).contains(steps.count), "a saga has 1 to \(Self.stepLimit) steps")
        precondition(Set(steps.map(\.name)).count == steps.count, "steps of a saga have different names")
        self.name = name
        self.version = version
        self.steps = steps
    }

    package func step(named name: String) -> SagaStep? { steps.first { $0.name == name } }
}

/// One idempotent step.
package struct SagaStep: Sendable, Equatable {
    package let name: String
    /// How long one attempt may take before it counts as failed; nil waits for ever.
    package let timeout: Duration?
    package let retry: SagaRetry
    /// How to undo it, also after an attempt whose outcome is unknown; nil when there is nothing to undo.
    package let undo: SagaUndo?
    /// Once started, the saga can't go back: it can't be cancelled, and a failure that is not retried parks it.
    package let isPointOfNoReturn: Bool

    package init(
        name: String, timeout: Duration?, retry: SagaRetry = .once, undo: SagaUndo? = nil,
        isPointOfNoReturn: Bool = false
    ) {
        self.name = name
        self.timeout = timeout
        self.retry = retry
        self.undo = undo
        self.isPointOfNoReturn = isPointOfNoReturn
    }
}

package struct SagaUndo: Sendable, Equatable {
    package let retry: SagaRetry
    /// How long whoever waits for the saga's failure waits for its undo too; nil as long as it takes.
    package let patience: Duration?

    package init(retry: SagaRetry, patience: Duration?) {
        self.retry = retry
        self.patience = patience
    }
}

/// Which failures are worth another attempt, and how many.
package enum SagaRetry: Sendable, Equatable {
    /// So many attempts in all, as long as the failure is not permanent.
    case atMost(Int)
    /// So many attempts in all, whatever the failure says: nobody else can do what must be done.
    case insisting(Int)
    /// Again and again, whatever the failure says: only of older versions, because nobody is told.
    case untilDone

    package static let once = SagaRetry.atMost(1)

    func allows(after tries: Int, _ failure: SagaFailure) -> Bool {
        switch self {
        case .atMost(let limit): !failure.isPermanent && tries < limit
        case .insisting(let limit): tries < limit
        case .untilDone: true
        }
    }
}
