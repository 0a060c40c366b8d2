/// Who does what in the cell, and how the cell is.
package protocol DutyStore: Sendable {
    /// Takes or keeps a duty that only one may do at a time.
    /// - Returns: whether `owner` has it now, for `duration` by the database's clock.
    func takeDuty(_ duty: CellDuty, owner: String, for duration: Duration) async throws(CellStoreError) -> Bool

    /// Gives a duty back at once.
    func releaseDuty(_ duty: CellDuty, owner: String) async throws(CellStoreError)

    /// One cheap look at the whole cell.
    func pulse() async throws(CellStoreError) -> CellPulse

    /// Calls `onNudge` whenever a transaction left work of that kind, until cancelled or the connection is lost.
    /// Nudges may be lost with the connection: listeners look by themselves every few seconds too.
    func listen(_ nudge: CellNudge, _ onNudge: @escaping @Sendable () -> Void) async throws(CellStoreError)
}

package enum CellDuty: String, Sendable, CaseIterable {
    /// Numbering and publishing events.
    case publisher
    case pruner
    /// Looking whether what must be true of the whole cell is.
    case reconciler
}

package enum CellNudge: String, Sendable, CaseIterable {
    /// A saga that no one holds.
    case sagas = "cell_sagas"
    /// An event that is not published.
    case outbox = "cell_outbox"
}

package struct CellPulse: Sendable, Equatable {
    package var newestSequence: Int64
    /// Conductors whose leases last; each lasts for ``conductorTimeout`` at least.
    package var conductorsUp: Int
    package var hostsUp: Int
    package var hosts: Int
    /// Cells below a branch, and those of them that are down or cut off; nil in a leaf.
    package var cells: Int?
    package var cellsDown: Int?

    package static let conductorTimeout: Duration = .seconds(10)

    package init(
        newestSequence: Int64, conductorsUp: Int, hostsUp: Int, hosts: Int, cells: Int? = nil, cellsDown: Int? = nil
    ) {
        self.newestSequence = newestSequence
        self.conductorsUp = conductorsUp
        self.hostsUp = hostsUp
        self.hosts = hosts
        self.cells = cells
        self.cellsDown = cellsDown
    }
}
