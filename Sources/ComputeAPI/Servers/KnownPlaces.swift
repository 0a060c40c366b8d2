import CloudModel
import Primitives
import Synchronization

/// Where servers are that this process has lately shown, so that showing one again asks its cell alone.
///
/// Only servers that have run are kept: before, a failed build may move to another cell. A cell that no longer has a
/// server says so, and the directory decides. Servers in a group are not kept, since their group can be deleted; the
/// others never join one.
final class KnownPlaces: Sendable {
    struct Place: Sendable, Equatable {
        var cell: CellPath
        var project: ProjectID
    }

    /// Servers kept at least; some 200 bytes each.
    static let limit = 4096

    private let places = Mutex(RecentValues<ServerID, Place>(limit: limit))

    func place(of id: ServerID) -> Place? { places.withLock { $0.value(id) } }

    func note(_ row: DirectoryRow) {
        guard let cell = row.cell, row.summary.launchedAt != nil, row.group == nil else { return }
        places.withLock { $0.keep(Place(cell: cell, project: row.summary.projectID), for: row.summary.id) }
    }

    func forget(_ id: ServerID) { places.withLock { $0.forget(id) } }
}
