package import CloudModel
package import FoundationEssentials
package import MessageBus

/// Reaches any cell below by its path. Adapter: the root's (or a branch's) connections to its children.
package protocol CellRouter: Sendable {
    /// Asks `cell` and waits for its answer, at most until the context's deadline. A cell known to be down is not called.
    func send<R: CellRequest>(_ request: R, to cell: CellPath, context: CellCallContext) async throws(CellError)
        -> R.Reply

    /// Every cell below, leaves and branches, with how it is, without asking any.
    func cells() async -> [CellStatus]
}

/// What goes with a request of the cell protocol.
package struct CellCallContext: Sendable, Equatable {
    package var requestID: String
    package var caller: Caller?
    /// When the sender stops waiting.
    package var deadline: Date
    /// W3C `traceparent`, if the request has one.
    package var traceParent: String?
    /// The same in each repeat of a request that must have its effect once; one of its own unless given.
    package var idempotencyKey: String?

    package init(
        requestID: String, caller: Caller?, deadline: Date, traceParent: String? = nil, idempotencyKey: String? = nil
    ) {
        self.requestID = requestID
        self.caller = caller
        self.deadline = deadline
        self.traceParent = traceParent
        self.idempotencyKey = idempotencyKey
    }
}

package enum CellError: Error, Sendable, Equatable {
    /// There is no such cell below.
    case unknownCell(CellPath)
    /// Known to be down, or no supervisor of it listens: nothing was carried out.
    case unreachable(CellPath)
    /// No answer came. The request may have been carried out.
    case timedOut(CellPath)
    /// Too many calls in flight to it.
    case overloaded(CellPath)
    /// It answered that it failed; for logs.
    case failed(CellPath, String)
    case malformed(CellPath, String)
    case cancelled
}

/// A cell's health as its parent sees it.
package struct CellStatus: Sendable, Equatable {
    package enum Health: String, Codable, Sendable { case up, slow, down }
    package var cell: CellPath
    package var health: Health
    /// Why it is not up.
    package var reason: String?
    package var since: Date
    /// Versions, conductors, hosts: as its last heartbeat said.
    package var heartbeat: CellHeartbeat?
    /// A leaf has hosts and conductors, a branch has children.
    package var isLeaf: Bool

    package init(
        cell: CellPath, health: Health, reason: String? = nil, since: Date, heartbeat: CellHeartbeat?, isLeaf: Bool
    ) {
        self.cell = cell
        self.health = health
        self.reason = reason
        self.since = since
        self.heartbeat = heartbeat
        self.isLeaf = isLeaf
    }
}
