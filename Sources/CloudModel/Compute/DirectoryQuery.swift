package import FoundationEssentials

/// Which page of servers is wanted: filters that all must hold, an order, and where the page begins.
package struct DirectoryQuery: Sendable, Equatable {
    /// Whether servers that are gone belong to the answer.
    package enum DeletedRows: Sendable, Equatable { case exclude, only, include }

    /// Nil for all projects.
    package var projectID: ProjectID?
    package var filters: [DirectoryFilter]
    /// Most significant first. The store appends creation time and id, newest first, so that the order is total.
    package var sort: [DirectorySort]
    /// The last server of the page before. It need not match the filters, but it must exist in the project asked for.
    package var marker: ServerID?
    /// Rows wanted at most. Ask for one more than a page to learn whether another follows.
    package var limit: Int
    package var deleted: DeletedRows

    package init(
        projectID: ProjectID?, filters: [DirectoryFilter] = [], sort: [DirectorySort] = [], marker: ServerID? = nil,
        limit: Int, deleted: DeletedRows = .exclude
    ) {
        self.projectID = projectID
        self.filters = filters
        self.sort = sort
        self.marker = marker
        self.limit = limit
        self.deleted = deleted
    }
}

/// One condition on the fields of ``InstanceSummary``.
package enum DirectoryFilter: Sendable, Equatable {
    /// POSIX regular expressions, unanchored and case-sensitive, as PostgreSQL's `~`.
    case nameMatches(String)
    case hostnameMatches(String)
    case descriptionMatches(String)
    /// Some fixed IPv4 address of the server matches.
    case addressMatches(String)
    /// The same for IPv6.
    case address6Matches(String)
    /// The name under which the hypervisor knows its machine.
    case nodeMatches(String)
    case zoneMatches(String)
    case keyNameMatches(String)
    case reservationMatches(String)
    /// The time as `YYYY-MM-DD HH:MM:SS` in UTC.
    case timeMatches(DirectoryTime, String)
    case ids([ServerID])
    /// The API's words, such as `ACTIVE`; any of them.
    case statuses([String])
    case vmStates([VMState])
    /// Nil in the list stands for "nothing is being done".
    case taskStates([TaskState?])
    case powerStates([PowerState])
    case host(HostName)
    case flavorIDs([String])
    case imageID(ImageID)
    case availabilityZone(String)
    case keyName(String)
    case userID(UserID)
    case reservationID(String)
    case isLocked(Bool)
    case hasAllTags([String])
    case hasAnyTag([String])
    case lacksSomeTag([String])
    case lacksAllTags([String])
    /// `updatedAt` at or after this.
    case changedSince(Date)
    /// `updatedAt` at or before this.
    case changedBefore(Date)
}

package enum DirectoryTime: Sendable, Equatable { case created, launched, terminated }

package struct DirectorySort: Sendable, Equatable {
    package enum Key: String, Sendable, CaseIterable {
        case createdAt, updatedAt, launchedAt, terminatedAt, name, description, id, vmState, taskState, powerState
        case host, hostname, flavorID, imageID, projectID, userID, availabilityZone, keyName, isLocked
    }
    package var key: Key
    package var isAscending: Bool

    package init(_ key: Key, isAscending: Bool) {
        self.key = key
        self.isAscending = isAscending
    }
}

/// A server as the root's directory knows it.
package struct DirectoryRow: Sendable, Equatable {
    package var summary: InstanceSummary
    /// Where its details are; nil until a cell has acknowledged it.
    package var cell: CellPath?
    /// The build request's document while there is no cell (not placed yet, or never could be).
    package var unplaced: Instance?
    /// The server group that it is in; lists leave it out.
    package var group: ServerGroupID?

    package init(summary: InstanceSummary, cell: CellPath?, unplaced: Instance?, group: ServerGroupID? = nil) {
        self.summary = summary
        self.cell = cell
        self.unplaced = unplaced
        self.group = group
    }
}

/// Rows of one page, as they all were at one moment.
package struct DirectoryPage: Sendable, Equatable {
    package var rows: [DirectoryRow]
    /// Cells whose rows were not all there at that moment, because the directory lost some and reads them again. The
    /// root stands for servers that have no cell yet.
    package var gaps: [CellPath]

    package init(rows: [DirectoryRow], gaps: [CellPath] = []) {
        self.rows = rows
        self.gaps = gaps
    }
}

package enum DirectoryError: Error, Sendable, Equatable {
    case markerNotFound(ServerID)
    /// A filter's regular expression can't be read.
    case invalidPattern(String)
    /// There is no such server in what the directory has now, and it knows that it does not have all.
    case incomplete
}

/// What a project has of what is limited, servers being built included.
package struct ComputeUsage: Codable, Sendable, Equatable {
    package var instances: Int
    package var cores: Int
    package var memoryMiB: Int

    package init(instances: Int = 0, cores: Int = 0, memoryMiB: Int = 0) {
        self.instances = instances
        self.cores = cores
        self.memoryMiB = memoryMiB
    }
}
