package import Primitives

/// One line of a saga's intent log. The log is the saga: replaying it gives the state in which it was.
///
/// `generation` numbers the attempts of a saga, of steps and undos together, from 1 and always growing.
package enum SagaLogEntry: Codable, Sendable, Equatable {
    /// Written before the step is carried out.
    case started(step: String, generation: Int)
    case succeeded(step: String, generation: Int, output: JSONValue)
    case failed(step: String, generation: Int, failure: SagaFailure)
    /// Written before the undo is carried out.
    case undoStarted(step: String, generation: Int)
    case undoFinished(step: String, generation: Int)
    case undoFailed(step: String, generation: Int, failure: SagaFailure)
    /// Its user does not want it any more.
    case cancelled
    /// The failure was told before the undo had ended, because the undo took longer than its patience.
    case announced
    /// An operator has it go on from where it was parked, with all its attempts anew.
    case retried
    /// An operator gave it up: it is neither done nor undone, and nobody will.
    case abandoned(reason: String?)
}

/// Why a step, or a saga, failed.
package struct SagaFailure: Codable, Sendable, Hashable {
    /// Safe for users.
    package var reason: String
    /// For operators.
    package var details: String
    /// The same attempt again would fail the same way.
    package var isPermanent: Bool

    package init(reason: String, details: String, isPermanent: Bool) {
        self.reason = reason
        self.details = details
        self.isPermanent = isPermanent
    }

    package static func timedOut(step: String) -> SagaFailure {
        SagaFailure(reason: "The host did not answer in time.", details: "step \(step) timed out", isPermanent: true)
    }
}

/// How a saga ended.
package enum SagaOutcome: Codable, Sendable, Equatable {
    case succeeded
    /// Everything that was done is undone.
    case failed(SagaFailure)
    /// As asked, and everything that was done is undone.
    case cancelled
    /// Neither done nor undone: an operator must look.
    case parked(SagaFailure)
    /// As ``parked(_:)``, and an operator looked and gave it up.
    case abandoned
}

package enum SagaEvent: Sendable, Equatable {
    /// A new owner has it: begin, or go on where the log ends.
    case resume
    case succeeded(step: String, generation: Int, output: JSONValue)
    case failed(step: String, generation: Int, failure: SagaFailure)
    case undoFinished(step: String, generation: Int)
    case undoFailed(step: String, generation: Int, failure: SagaFailure)
    case timedOut(step: String, generation: Int)
    case cancel
    /// The undo has taken longer than its patience.
    case undoOverdue(step: String, generation: Int)
    /// An operator has a parked saga go on.
    case retry
    /// An operator gives up a saga that has not ended, or is parked.
    case abandon(reason: String?)
}

/// What the owner must do, in this order: all `log` entries durable, in one transaction, before anything else is done.
package enum SagaAction: Sendable, Equatable {
    case log(SagaLogEntry)
    case run(SagaAttempt)
    case undo(SagaAttempt)
    /// Tell the failure now; the undo goes on.
    case announce(SagaFailure)
    case finish(SagaOutcome)
}

package struct SagaAttempt: Sendable, Equatable {
    package let step: String
    package let generation: Int
    /// 1 for the first attempt of this step (or of its undo); a repeat waits longer the higher this is.
    package let tries: Int

    package init(step: String, generation: Int, tries: Int) {
        self.step = step
        self.generation = generation
        self.tries = tries
    }
}

/// Why the machine takes no notice of an event. Ordinary in a world where messages come late and twice.
package enum SagaRefusal: Error, Sendable, Equatable {
    /// About an attempt that is over.
    case stale
    /// The saga has ended.
    case ended
    /// Can't be cancelled any more.
    case pastPointOfNoReturn
    /// It goes on by itself: there is nothing to retry.
    case notParked
}

/// The log does not fit the definition: it was written by another version, or damaged.
package struct SagaLogCorruption: Error, Sendable, Equatable, CustomStringConvertible {
    package let definition: String
    package let index: Int
    package let entry: SagaLogEntry

    package var description: String { "log entry \(index) of a \(definition) saga can't follow: \(entry)" }
}
