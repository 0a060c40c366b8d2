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
    /// Proves that what hangs on servers is that of the servers there are, and mends it. Leaves alone what it can't know
    /// while the directory is known to be incomplete.
    /// - Returns: what was wrong.
    func reconcile() async throws -> Reconciliation

    // MARK: scheduling

    /// Takes up to `limit` servers that wait for a host (those of other schedulers are passed over), plans them, claims
    /// hosts in the plan's order and marks each `placed` or, with no host left, failed. One transaction.
    ///
    /// A server that had a host if cells and hosts were back that went down less than a minute ago is put off for two
    /// seconds instead, as long as it is younger than five minutes.
    /// - Parameter plan: is asked once more for those, with these cells and hosts up.
    func place(
        limit: Int, now: Date,
        plan: @Sendable ([PendingBuild], PlacementSnapshot) -> [[HostName]]
    ) async throws -> Placements

    /// Servers that were placed and not acknowledged since `before`: another scheduler's, or our own that was cut off.
    /// Each is hidden until `retryAt`.
    func unacknowledged(before: Date, now: Date, retryAt: Date, limit: Int) async throws -> [PlacedBuild]

    /// The cell has them in its database.
    func acknowledge(_ builds: [PlacedBuild]) async throws

    /// The cell can't take them: the claim is released and the next host is tried, or the server fails.
    func refuse(_ build: PlacedBuild, reason: String, now: Date) async throws
    /// The cell can't be asked, and does not have them: as ``refuse(_:reason:now:)``, but the attempt does not count as
    /// long as the server is younger than five minutes, and it is two seconds before the next.
    func giveBack(_ build: PlacedBuild, reason: String, now: Date) async throws

    // MARK: commands

    /// Commands whose time has come, for cells in `cells`; each is hidden until `retryAt`.
    func dueCommands(cells: [CellPath], now: Date, retryAt: Date, limit: Int) async throws -> [QueuedCommand]
    /// The cell has it, durably. The delete of a server that is being built there stays, and is sent again, until the cell
    /// says that the server is gone: the news that the build failed may be on its way, and without the delete the server
    /// would be built elsewhere.
    func complete(_ command: QueuedCommand) async throws
    /// The cell knows no such server: what the root keeps of it is released.
    func completeUnknown(_ command: QueuedCommand, now: Date) async throws
}

/// What was wrong and was mended of the root's tables.
package struct Reconciliation: Sendable, Equatable {
    /// Uses of quotas that were left over, missing or not what the server has.
    package var uses = 0
    /// Servers that were gone and still had claims in placement.
    package var leftClaims = 0
    /// Servers that ran without a claim.
    package var missingClaims = 0
    /// Inventories whose sum was not that of their claims, also because of those above.
    package var inventories = 0
    /// Members of groups that were gone.
    package var members = 0
    /// Ports of servers that were gone.
    package var ports = 0

    package init() {}

    /// By name, without what was right.
    package var findings: [(name: String, count: Int)] {
        [
            ("uses", uses), ("left_claims", leftClaims), ("missing_claims", missingClaims),
            ("inventories", inventories), ("members", members), ("ports", ports),
        ].filter { $0.1 > 0 }.map { (name: $0.0, count: $0.1) }
    }
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

/// What came of waiting servers.
package struct Placements: Sendable, Equatable {
    /// A cell or a host that has been down for longer is not waited for (seconds).
    package static let returnLimit: TimeInterval = 60
    /// A server that is older than this waits for no cell and no host (seconds).
    package static let patience: TimeInterval = 300
    /// Before a server that was put off is looked at again (seconds).
    package static let pause: TimeInterval = 2

    package var placed: [PlacedBuild]
    /// Whether there may be more that wait.
    package var hasMore: Bool

    package init(placed: [PlacedBuild], hasMore: Bool) {
        self.placed = placed
        self.hasMore = hasMore
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
