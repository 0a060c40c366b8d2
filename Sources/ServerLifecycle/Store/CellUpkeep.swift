package import CloudModel
package import FoundationEssentials

/// What a reconciler of the whole cell looks at, in one look.
package struct CellUpkeep: Sendable, Equatable {
    /// Servers looked at in one turn.
    package static let limit = 100

    package var liveSagas: Int
    package var parkedSagas: Int
    /// When the oldest live saga was begun.
    package var oldestSaga: Date?
    /// Live sagas that were begun before the given time, and that nobody drives.
    package var orphanedSagas: Int
    /// Servers on hosts that are down, or that the cell does not have.
    package var serversOnLostHosts: [HostName: Int]
    /// Servers that were last changed before the given time, that are said to be worked on, and that have no live or parked
    /// saga. At most ``limit``.
    package var stranded: [ServerID]

    package init(
        liveSagas: Int, parkedSagas: Int, oldestSaga: Date?, orphanedSagas: Int, serversOnLostHosts: [HostName: Int],
        stranded: [ServerID]
    ) {
        self.liveSagas = liveSagas
        self.parkedSagas = parkedSagas
        self.oldestSaga = oldestSaga
        self.orphanedSagas = orphanedSagas
        self.serversOnLostHosts = serversOnLostHosts
        self.stranded = stranded
    }
}
