package import CloudModel
package import FoundationEssentials

/// Something that changed in a cell, numbered by its cell without gaps. Parents apply it once, however often it comes.
package struct SequencedEvent: Codable, Sendable, Equatable {
    package static let kind = "cell.event"
    package var cell: CellPath
    package var sequence: Int64
    package var event: CellEvent
    package init(cell: CellPath, sequence: Int64, event: CellEvent) {
        self.cell = cell
        self.sequence = sequence
        self.event = event
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
    package init(
        cell: CellPath, version: String, sentAt: Date, newestSequence: Int64, databaseMilliseconds: Double,
        isDatabaseUp: Bool, conductorsUp: Int, hostsUp: Int, hosts: Int
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
    }
}
