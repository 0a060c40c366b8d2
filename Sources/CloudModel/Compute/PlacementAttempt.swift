package import FoundationEssentials

/// A host that was chosen for a server: where more of its story is to be found.
package struct PlacementAttempt: Sendable, Equatable {
    package var cell: CellPath
    package var host: HostName
    package var placedAt: Date
    /// Why the server is not there; nil while nothing is known to have gone wrong.
    package var failure: String?
    package var failedAt: Date?

    package init(cell: CellPath, host: HostName, placedAt: Date, failure: String? = nil, failedAt: Date? = nil) {
        self.cell = cell
        self.host = host
        self.placedAt = placedAt
        self.failure = failure
        self.failedAt = failedAt
    }
}
