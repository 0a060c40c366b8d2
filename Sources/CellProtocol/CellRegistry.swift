package import CloudModel
package import FoundationEssentials

/// What the root knows of its cells, hosts and servers, and the operator's word on each: behind the cells API.
///
/// It answers from the root's database alone, so a cell that is down is shown like any other. Adapter: `Persistence`.
package protocol CellRegistry: HostDirectory {
    /// Cells in order of their paths, behind `marker`.
    func cells(after marker: CellPath?, limit: Int) async throws -> [CellRecord]
    func cell(_ path: CellPath) async throws -> CellRecord?

    /// Says what a cell gets from now on. When it returns, no server that is placed later lands there.
    /// - Returns: the cell as it is then; nil when there is none.
    func order(_ order: PlacementOrder, of cell: CellPath) async throws -> CellRecord?

    /// Forgets a cell that has no servers, in the transaction that counts them.
    func retire(_ path: CellPath) async throws -> CellRetirement

    /// Hosts in order of their names, behind `marker`; of one cell or of all.
    func hosts(of cell: CellPath?, after marker: HostName?, limit: Int) async throws -> [HostUsage]
    func host(_ name: HostName) async throws -> HostUsage?

    /// Where a server is and how it got there, deleted ones too while the directory keeps them.
    func locate(_ id: ServerID) async throws -> ServerLocation?
}

package enum CellRetirement: Sendable, Equatable {
    case removed
    case notFound
    /// Servers that remain there.
    case occupied(Int)
    /// Cells that lie below it.
    case hasChildren(Int)
}

/// A cell as the root's database has it, without its credentials. What is counted of a branch is that of all cells below.
package struct CellRecord: Sendable, Equatable {
    package struct Resource: Sendable, Equatable {
        /// What hosts have.
        package var total: Int
        /// What may be promised of it: without what is reserved, times the allocation ratio.
        package var usable: Int
        /// What is promised.
        package var used: Int

        package init(total: Int = 0, usable: Int = 0, used: Int = 0) {
            self.total = total
            self.usable = usable
            self.used = used
        }
    }

    package var path: CellPath
    package var order: PlacementOrder
    package var health: CellStatus.Health
    package var reason: String?
    package var since: Date
    package var heartbeat: CellHeartbeat?
    /// Nobody knows how it is, because a cell through which it is reached is down.
    package var isCutOff = false
    /// The newest event that was applied, of a child; what lies deeper is told of by its own parent.
    package var lastSequence: Int64
    package var hosts = 0
    package var hostsUp = 0
    /// Hosts that may get new servers, whether up or not.
    package var hostsOpen = 0
    package var agentVersions: [String: Int] = [:]
    package var vcpus = Resource()
    package var memoryMiB = Resource()
    package var diskGiB = Resource()
    /// Servers that are there or on their way.
    package var servers = 0
    /// Those of them that are being built.
    package var building = 0
    /// Those of them that are being deleted.
    package var deleting = 0
    package var projects = 0

    package init(
        path: CellPath, order: PlacementOrder, health: CellStatus.Health, reason: String?, since: Date,
        heartbeat: CellHeartbeat?, lastSequence: Int64
    ) {
        self.path = path
        self.order = order
        self.health = health
        self.reason = reason
        self.since = since
        self.heartbeat = heartbeat
        self.lastSequence = lastSequence
    }
}

/// Where a server is, as the directory has it.
package struct ServerLocation: Sendable, Equatable {
    /// The build request, while there is one: until the server runs, and for ever when no host was found.
    package struct Request: Sendable, Equatable {
        /// `waiting`, `placed`, `sent` or `failed`.
        package var state: String
        package var attempts: Int
        package var excludedHosts: [HostName]
        package var fault: String?

        package init(state: String, attempts: Int, excludedHosts: [HostName], fault: String?) {
            self.state = state
            self.attempts = attempts
            self.excludedHosts = excludedHosts
            self.fault = fault
        }
    }

    /// One host that was chosen for it.
    package struct Placement: Sendable, Equatable {
        package var epoch: Int
        package var cell: CellPath
        package var host: HostName
        package var placedAt: Date
        /// Nil while nothing is known to have gone wrong.
        package var failure: String?
        package var failedAt: Date?

        package init(
            epoch: Int, cell: CellPath, host: HostName, placedAt: Date, failure: String? = nil, failedAt: Date? = nil
        ) {
            self.epoch = epoch
            self.cell = cell
            self.host = host
            self.placedAt = placedAt
            self.failure = failure
            self.failedAt = failedAt
        }
    }

    package var id: ServerID
    package var name: String
    package var projectID: ProjectID
    package var status: String
    package var vmState: String
    package var taskState: String?
    package var cell: CellPath?
    package var host: HostName?
    package var createdAt: Date
    package var updatedAt: Date
    package var deletedAt: Date?
    package var request: Request?
    /// In order of time.
    package var placements: [Placement]

    package init(
        id: ServerID, name: String, projectID: ProjectID, status: String, vmState: String, taskState: String?,
        cell: CellPath?, host: HostName?, createdAt: Date, updatedAt: Date, deletedAt: Date?, request: Request?,
        placements: [Placement]
    ) {
        self.id = id
        self.name = name
        self.projectID = projectID
        self.status = status
        self.vmState = vmState
        self.taskState = taskState
        self.cell = cell
        self.host = host
        self.createdAt = createdAt
        self.updatedAt = updatedAt
        self.deletedAt = deletedAt
        self.request = request
        self.placements = placements
    }
}
