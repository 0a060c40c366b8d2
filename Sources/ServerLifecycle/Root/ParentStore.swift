package import CellProtocol
package import CloudModel
package import FoundationEssentials

/// The database of a cell that has children, as its supervisor uses it in the role of a parent: mappings, the directory
/// of what lies below, what was applied of each child's events.
///
/// Every method is one transaction. The root's store and a branch's are both one.
package protocol ParentStore: Sendable {
    associatedtype Changes: AsyncSequence<DirectoryChange, Never> & Sendable

    // MARK: cells

    func cells() async throws -> [CellMapping]
    /// Adds a mapping or changes its endpoint; what was applied of its events stays. Tells ``changes()``.
    func putCell(_ path: CellPath, bus: CellMapping.Endpoint, now: Date) async throws -> Bool
    func removeCell(_ path: CellPath) async throws -> Bool
    /// Writes down how children are, each once; of cells that are not mapped nothing. Tells ``changes()`` of
    /// ``DirectoryChange/health``.
    /// - Parameter watcher: who says so; changes nothing when the watch is somebody else's by now. Nil asks nobody.
    func setHealth(_ standings: [CellStanding], watcher: String?) async throws

    // MARK: the watch

    /// Takes or keeps the watch over the children, which one of a cell's supervisors has at a time.
    /// - Returns: whether `owner` has it now, for `duration` by the database's clock.
    func takeWatch(owner: String, for duration: Duration) async throws -> Bool
    /// Gives it back at once.
    func releaseWatch(owner: String) async throws

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
    /// Servers that the directory has of a cell, as far as an audit counts them, and that are none of `known`, which the
    /// cell tells of. Those that were made after `date` are left out.
    func missing(
        of path: CellPath, besides known: Set<ServerID>, createdBefore date: Date
    ) async throws -> [ServerID]

    // MARK: events

    /// Applies events of one cell in order, as one transaction, if the first follows what was applied.
    /// An event that contradicts what is known is passed over, so that those after it are applied; events already
    /// applied are passed over too.
    func apply(_ events: [SequencedEvent], from cell: CellPath, now: Date) async throws -> AppliedEvents

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

package enum DirectoryChange: Sendable, Equatable {
    case buildRequests, commands
    /// Cells came, went, moved, or lost rows.
    case cells
    /// How cells are. Whoever said so, because it has the watch, need not read it.
    case health
    /// The connection was lost for a while: look at everything.
    case unknown
}
