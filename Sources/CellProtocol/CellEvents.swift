package import CloudModel
package import FoundationEssentials

/// Something that changed in a cell, numbered by its cell without gaps. Parents apply it once, however often it comes.
package struct SequencedEvent: Codable, Sendable, Equatable {
    package static let kind = "cell.event"
    package var cell: CellPath
    package var sequence: Int64
    package var event: CellEvent
    /// The leaf that it comes from, where a branch passes it on: `cell` itself when absent.
    package var origin: CellPath?
    package init(cell: CellPath, sequence: Int64, event: CellEvent, origin: CellPath? = nil) {
        self.cell = cell
        self.sequence = sequence
        self.event = event
        self.origin = origin
    }
}

package enum CellEvent: Codable, Sendable, Equatable {
    /// A server is as `summary` says; older versions are ignored.
    case instanceChanged(InstanceSummary)
    /// A build attempt ended without a server on `host`, everything undone there: the parent may try the next host.
    case buildFailed(BuildFailure)
    /// A server is gone, everything of it undone: the parent releases allocation, ports, quota.
    case instanceDeleted(InstanceDeletion)
    /// A host joined or changed (inventory, enabled, up).
    case hostChanged(HostRecord)
    /// A cell below a branch is new there, or its health or heartbeat has news.
    case cellChanged(CellStanding)
    /// A branch has forgotten a cell, and what lies below it.
    case cellRemoved(CellPath)
}

package struct BuildFailure: Codable, Sendable, Equatable {
    package var id: ServerID
    package var epoch: Int
    package var host: HostName
    /// Safe for the server's user.
    package var reason: String
    package init(id: ServerID, epoch: Int, host: HostName, reason: String) {
        self.id = id
        self.epoch = epoch
        self.host = host
        self.reason = reason
    }
}

package struct InstanceDeletion: Codable, Sendable, Equatable {
    package var id: ServerID
    package var version: Int64
    package var deletedAt: Date
    package init(id: ServerID, version: Int64, deletedAt: Date) {
        self.id = id
        self.version = version
        self.deletedAt = deletedAt
    }
}

/// The cell's pulse, every second, unnumbered and never stored.
package struct CellHeartbeat: Codable, Sendable, Equatable {
    package static let kind = "cell.heartbeat"
    package var cell: CellPath
    package var version: String
    package var sentAt: Date
    /// The newest event's number, so that a parent sees a gap without waiting for the next event.
    package var newestSequence: Int64
    package var databaseMilliseconds: Double
    package var isDatabaseUp: Bool
    package var conductorsUp: Int
    package var hostsUp: Int
    package var hosts: Int
    /// Cells below; absent from a leaf. Of a branch, conductors and hosts are those of all leaves below.
    package var cells: Int?
    /// Those of them that are down, or can't be reached because one between is.
    package var cellsDown: Int?
    /// Who of the cell's supervisors speaks; absent from older ones.
    package var supervisor: String?
    package init(
        cell: CellPath, version: String, sentAt: Date, newestSequence: Int64, databaseMilliseconds: Double,
        isDatabaseUp: Bool, conductorsUp: Int, hostsUp: Int, hosts: Int, cells: Int? = nil, cellsDown: Int? = nil,
        supervisor: String? = nil
    ) {
        self.cell = cell
        self.version = version
        self.sentAt = sentAt
        self.newestSequence = newestSequence
        self.databaseMilliseconds = databaseMilliseconds
        self.isDatabaseUp = isDatabaseUp
        self.conductorsUp = conductorsUp
        self.hostsUp = hostsUp
        self.hosts = hosts
        self.cells = cells
        self.cellsDown = cellsDown
        self.supervisor = supervisor
    }

    package var isLeaf: Bool { cells == nil }
}
