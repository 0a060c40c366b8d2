package import CellProtocol
package import CloudModel
package import FoundationEssentials
package import PlacementCore

/// The root's database as its supervisor uses it, beside being a parent's: build requests, claims, commands to cells.
///
/// Every method is one transaction. Adapter: `PostgresRootStore`.
package protocol RootStore: ParentStore {
    // MARK: the directory's completeness

    /// Puts servers that have no cell yet, and that the directory has lost, back from their build requests.
    /// - Returns: how many.
    func restoreUnplaced() async throws -> Int
    /// Proves that what counts against quotas is what there is, and mends it. Leaves it alone while the directory is
    /// known to be incomplete.
    /// - Returns: how many uses were wrong.
    func reconcileUses() async throws -> Int

    /// Puts right what claims and ports have lost their server; leaves all alone while the directory is known to be
    /// incomplete. At most ``RootMending/limit`` of each.
    func reconcileClaims() async throws -> RootMending

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
    /// The cell could not be asked: as ``refuse(_:reason:now:)``, but a server that is young does not fail for it.
    func giveBack(_ build: PlacedBuild, reason: String, now: Date) async throws

    // MARK: commands

    /// Commands whose time has come, for cells in `cells`; each is hidden until `retryAt`.
    func dueCommands(cells: [CellPath], now: Date, retryAt: Date, limit: Int) async throws -> [QueuedCommand]
    /// The cell has it, durably.
    func complete(_ command: QueuedCommand) async throws
    /// The cell knows no such server: what the root keeps of it is released.
    func completeUnknown(_ command: QueuedCommand, now: Date) async throws
}

/// What a reconciler of the root's tables found.
package struct RootMending: Sendable, Equatable {
    package static let limit = 200

    /// Servers without a place whose claim on a host was released.
    package var claimsReleased = 0
    /// Hosts whose counters were not the sum of their claims.
    package var countersMended = 0
    /// Deleted servers whose ports were given back.
    package var portsReleased = 0
    /// Servers on a host without a claim: left as they are, because nobody can say what they take.
    package var unclaimed = 0
    /// Ports of servers that nobody has ever heard of: left alone.
    package var strangePorts = 0

    package init() {}
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
