package import CloudModel
import FoundationEssentials
package import PostgresClient
import ServerLifecycle

/// A leaf cell's database. Its schema is ``CellSchema``; bring it up to date before use.
package struct PostgresCellStore: CellStore, PostgresChildStore {
    package static let origin = "null::text"

    package let pool: PostgresPool
    package let cell: CellPath

    /// - Parameter cell: the leaf whose database it is; its events carry the name.
    package init(pool: PostgresPool, cell: CellPath) {
        self.pool = pool
        self.cell = cell
    }
}
