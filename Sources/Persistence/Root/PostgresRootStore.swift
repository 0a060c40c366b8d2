import CellProtocol
package import CloudModel
package import FoundationEssentials
package import PostgresClient
import ServerLifecycle

/// The root's database: `RootStore` for the supervisor, `ServerAcceptance`, `DirectoryStore` and `HostDirectory` for the
/// API, one facet a file.
package struct PostgresRootStore: Sendable {
    /// Attempts to build one server before it fails, as Nova's default.
    static let attemptLimit = 3

    package let pool: PostgresPool
    let ports: PortLedger
    /// What the scheduler of this process plans with; read on its first placement.
    let picture = PlacementPicture()

    package init(pool: PostgresPool, ports: PortLedger) {
        self.pool = pool
        self.ports = ports
    }
}

/// Ports inside a transaction of the root store: reserved when servers are accepted, released when they are gone.
/// `reconcile` removes those of servers that are gone all the same, and counts them.
package struct PortLedger: Sendable {
    package var reserve: @Sendable (PortReservation, PostgresTransaction, Date) async throws -> ReservedPorts
    package var release: @Sendable (ServerID, PostgresTransaction) async throws -> Void
    package var reconcile: @Sendable (PostgresTransaction) async throws -> Int

    package init(
        reserve: @escaping @Sendable (PortReservation, PostgresTransaction, Date) async throws -> ReservedPorts,
        release: @escaping @Sendable (ServerID, PostgresTransaction) async throws -> Void,
        reconcile: @escaping @Sendable (PostgresTransaction) async throws -> Int
    ) {
        self.reserve = reserve
        self.release = release
        self.reconcile = reconcile
    }
}
