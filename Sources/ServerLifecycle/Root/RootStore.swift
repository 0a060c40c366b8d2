package import CellProtocol
package import CloudModel
package import FoundationEssentials
package import PlacementCore

/// The root's database as its supervisor uses it: build requests, claims, the directory, commands to cells.
///
/// Every method is one transaction. Adapter: `PostgresRootStore`.
package protocol RootStore: Sendable {
    associatedtype Changes: AsyncSequence<RootChange, Never> & Sendable

    // MARK: cells

    func cells() async throws -> [CellMapping]
    /// Adds a mapping or changes its endpoint; what was applied of its events stays. Tells ``changes()``.
    func putCell(_ path: CellPath, bus: CellMapping.Endpoint, now: Date) async throws -> Bool
    func removeCell(_ path: CellPath) async throws -> Bool
    func setHealth(
        of path: CellPath, _ health: CellStatus.Health, reason: String?, since: Date, heartbeat: CellHeartbeat?
    ) async throws

    // MARK: the directory's completeness

    /// Asks for a resync of a cell. False when there is no such cell. Tells ``changes()``.
    func requestResync(of path: CellPath) async throws -> Bool
    /// The directory is known to have lost rows of the cell: lists say so from now on. Tells ``changes()``.
    func noteLoss(of path: CellPath, now: Date) async throws
    /// A loss of which a resync that begins now makes good; nil when none is known.
    func knownLoss(of path: CellPath) async throws -> Int64?
    /// Takes a page of a cell's inventory; what the directory has newer stays.
    /// - Returns: false when events past the page were applied already: it says nothing any more, ask again.
    func merge(_ page: InventoryRequest.Reply, from path: CellPath) async throws -> Bool
    /// Every page of a resync that began with `loss` was taken.
    func endResync(of path: CellPath, loss: Int64?) async throws
    /// The same sum as the cell's, of what the directory has of it.
    func audit(of path: CellPath) async throws -> DirectoryAudit
    /// Puts servers that have no cell yet, and that the directory has lost, back from their build requests.
    /// - Returns: how many.
    func restoreUnplaced() async throws -> Int
    /// Proves that what counts against quotas is what there is, and mends it. Leaves it alone while the directory is
    /// known to be incomplete.
    /// - Returns: how many uses were wrong.
    func reconcileUses() async throws -> Int

    // MARK: scheduling

    /// Takes up to `limit` servers that wait for a host (those of other schedulers are passed over), plans them, claims
    /// hosts in the plan's order and marks each `placed` or, with no host left, failed. One transaction.
    func place(
        limit: Int, now: Date,
        plan: @Sendable ([PendingBuild], PlacementSnapshot) -> [[HostName]]
    ) async throws -> [PlacedBuild]

    /// Servers that were placed and not acknowledged since `before`: another scheduler's, or our own that was cut off.
    func unacknowledged(before: Date, limit: Int) async throws -> [PlacedBuild]

    /// The cell has them in its database.
    func acknowledge(_ builds: [PlacedBuild]) async throws

    /// The cell can't take them: the claim is released and the next host is tried, or the server fails.
    func refuse(_ build: PlacedBuild, reason: String, now: Date) async throws

    // MARK: events

    /// Applies events of one cell in order, as one transaction, if the first follows what was applied.
    /// An event that contradicts what is known is passed over, so that those after it are applied; events already
    /// applied are passed over too.
    func apply(_ events: [SequencedEvent], from cell: CellPath, now: Date) async throws -> AppliedEvents

    // MARK: commands

    /// Commands whose time has come, for cells in `cells`; each is hidden until `retryAt`.
    func dueCommands(cells: [CellPath], now: Date, retryAt: Date, limit: Int) async throws -> [QueuedCommand]
    /// The cell has it, durably.
    func complete(_ command: QueuedCommand) async throws
    /// The cell knows no such server: what the root keeps of it is released.
    func completeUnknown(_ command: QueuedCommand, now: Date) async throws

    /// Nudges: something changed that the named loop should look at. A nudge may be spurious; lost ones are covered by
    /// timers. Ends when the task is cancelled.
    func changes() -> Changes
}

/// What became of a cell's events.
package struct AppliedEvents: Sendable, Equatable {
    package struct Refused: Sendable, Equatable {
        package var sequence: Int64
        /// For an operator.
        package var reason: String
        package init(sequence: Int64, reason: String) {
            self.sequence = sequence
            self.reason = reason
        }
    }

    /// The newest sequence that is applied, or was refused, now.
    package var newest: Int64
    package var refused: [Refused]

    package init(newest: Int64, refused: [Refused] = []) {
        self.newest = newest
        self.refused = refused
    }
}

package enum RootChange: Sendable, Equatable {
    case buildRequests, commands, cells
    /// The connection was lost for a while: look at everything.
    case unknown
}

/// A server that waits for a host.
package struct PendingBuild: Sendable, Equatable {
    package var id: ServerID
    package var request: PlacementRequest

    package init(id: ServerID, request: PlacementRequest) {
        self.id = id
        self.request = request
    }
}

/// A server with a claimed host, to be sent to the host's cell until that has acknowledged it.
package struct PlacedBuild: Sendable, Equatable {
    package var specification: BuildSpecification
    package var cell: CellPath
    package var projectID: ProjectID { specification.instance.projectID }

    package init(specification: BuildSpecification, cell: CellPath) {
        self.specification = specification
        self.cell = cell
    }
}

/// An accepted request on its way to a cell.
package struct QueuedCommand: Sendable, Equatable {
    package var id: Int64
    package var cell: CellPath
    package var serverID: ServerID
    package var action: ServerAction
    package var requestID: String
    package var userID: String
    package var projectID: String
    package var roles: [String]

    package init(
        id: Int64, cell: CellPath, serverID: ServerID, action: ServerAction, requestID: String, userID: String,
        projectID: String, roles: [String]
    ) {
        self.id = id
        self.cell = cell
        self.serverID = serverID
        self.action = action
        self.requestID = requestID
        self.userID = userID
        self.projectID = projectID
        self.roles = roles
    }
}
