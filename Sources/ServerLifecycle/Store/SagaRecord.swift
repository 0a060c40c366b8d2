package import CellProtocol
package import CloudModel
package import FoundationEssentials
package import SagaEngine

/// One run of a saga as the database keeps it.
package struct SagaRecord: Sendable, Equatable {
    package typealias State = SagaState

    /// Who drives it, until when by the database's clock.
    package struct Holder: Sendable, Equatable {
        package var owner: String
        package var until: Date
        package init(owner: String, until: Date) {
            self.owner = owner
            self.until = until
        }
    }

    /// How it ended.
    package struct End: Sendable, Equatable {
        package var state: State
        package var at: Date
        /// For the server's users, when it did not succeed.
        package var message: String?
        package init(state: State, at: Date, message: String?) {
            self.state = state
            self.at = at
            self.message = message
        }
    }

    package var id: SagaID
    package var name: String
    package var version: Int
    package var serverID: ServerID
    /// Where it works: the only host whose reports about it count.
    package var host: HostName
    /// The build attempt that it belongs to.
    package var epoch: Int
    package var state: State
    package var input: SagaInput
    package var log: [LoggedEntry]
    /// Why the log is empty although there is one; only where sagas are listed.
    package var logProblem: String?
    package var createdAt: Date
    /// When it ended or was parked, and why.
    package var endedAt: Date?
    package var message: String?
    /// Nil when nobody drives it.
    package var holder: Holder?
    /// Grows with every new holder: what an earlier one still wants does not count.
    package var leaseEpoch = 0

    package init(
        id: SagaID, name: String, version: Int, serverID: ServerID, host: HostName, epoch: Int, input: SagaInput,
        createdAt: Date
    ) {
        self.id = id
        self.name = name
        self.version = version
        self.serverID = serverID
        self.host = host
        self.epoch = epoch
        self.state = .live
        self.input = input
        self.log = []
        self.createdAt = createdAt
    }

    /// Lets it go, as it ended.
    package mutating func close(_ end: End) {
        state = end.state
        endedAt = end.at
        message = end.message
        holder = nil
    }

    /// It was parked, and goes on.
    package mutating func takeUp() {
        state = .live
        endedAt = nil
        message = nil
    }

    /// Gives it to a new holder, from `now` on.
    mutating func take(_ lease: SagaLease, at now: Date) {
        holder = Holder(owner: lease.owner, until: now + lease.duration.timeInterval)
        leaseEpoch += 1
    }
}

/// What a saga carries along for everything it sends.
package struct SagaInput: Codable, Sendable, Equatable {
    package var requestID: String
    package var traceParent: String?
    /// Grows from one saga of a server to the next. Absent in sagas that an earlier release began.
    package var turn: Int64?

    package init(requestID: String, traceParent: String? = nil, turn: Int64? = nil) {
        self.requestID = requestID
        self.traceParent = traceParent
        self.turn = turn
    }
}

package struct LoggedEntry: Sendable, Equatable {
    package var entry: SagaLogEntry
    package var at: Date

    package init(_ entry: SagaLogEntry, at: Date) {
        self.entry = entry
        self.at = at
    }
}

/// A conductor's right to drive a saga, until it runs out or someone else takes the saga.
package struct SagaLease: Sendable, Equatable {
    /// A conductor of the cell, by a name that it keeps when it is started again.
    package var owner: String
    /// Measured by the database's clock.
    package var duration: Duration

    package init(owner: String, duration: Duration) {
        self.owner = owner
        self.duration = duration
    }
}

/// Something that was done to a server, as the API's instance actions show it.
package struct CellActionRecord: Sendable, Equatable {
    package var serverID: ServerID
    /// Nova's name for it: `create`, `start`, `lock` ...
    package var action: String
    package var requestID: String
    /// Whoever sends the same again gets the same answer.
    package var idempotencyKey: String
    package var userID: String
    package var projectID: String
    package var startedAt: Date
    /// Nil while it runs.
    package var finishedAt: Date?
    /// Nil when it went well.
    package var message: String?
    /// Who carries it out; nil when it was done at once. Its log holds the action's events.
    package var sagaID: SagaID?

    package init(
        serverID: ServerID, action: String, requestID: String, idempotencyKey: String, userID: String,
        projectID: String, startedAt: Date, finishedAt: Date? = nil, message: String? = nil, sagaID: SagaID? = nil
    ) {
        self.serverID = serverID
        self.action = action
        self.requestID = requestID
        self.idempotencyKey = idempotencyKey
        self.userID = userID
        self.projectID = projectID
        self.startedAt = startedAt
        self.finishedAt = finishedAt
        self.message = message
        self.sagaID = sagaID
    }
}
