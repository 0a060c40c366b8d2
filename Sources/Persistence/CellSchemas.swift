package import CloudModel
package import PostgresClient

/// Which schemas a cell's database has, and how they are brought up to date.
package enum CellSchemas {
    /// Applies what is missing and names it (`network/2`). A database that is newer than the program is refused.
    package static func migrate(_ pool: PostgresPool, _ kind: CellKind) async throws(MigrationError) -> [String] {
        let migrator = Migrator(pool)
        var applied: [String] = []
        let schemas =
            switch kind {
            case .root: root
            case .branch: branch
            case .leaf: leaf
            }
        for (name, migrations) in schemas {
            let numbers = try await migrator.migrate(migrations, schemaName: name)
            applied += numbers.map { "\(name)/\($0)" }
        }
        return applied
    }

    /// Every schema, for the check that they only grow.
    package static var all: [(name: String, migrations: [Migration])] {
        (root + branch + leaf).map { (name: $0.0, migrations: $0.1) }
    }

    private static let root = [
        (IdentitySchema.name, IdentitySchema.migrations),
        (ImageSchema.name, ImageSchema.migrations),
        (NetworkSchema.name, NetworkSchema.migrations), (ComputeSchema.name, ComputeSchema.migrations),
        (RootSchema.name, RootSchema.migrations),
    ]

    private static let branch = [(BranchSchema.name, BranchSchema.migrations)]
    private static let leaf = [(CellSchema.name, CellSchema.migrations)]
}
