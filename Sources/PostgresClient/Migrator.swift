/// One numbered change of a schema. Numbers begin at 1 and have no gaps; a migration that was released never changes.
package struct Migration: Sendable, Equatable {
    package let number: Int
    /// One that begins with ``breaks`` says that programs of the release before can't use what it leaves.
    package let name: String
    /// One command each, run in order in one transaction. Unqualified names are of the schema that is migrated.
    package let statements: [String]

    /// Every other migration only adds, so that a program that does not know it goes on, see ``SchemaGrowth``.
    package static let breaks = "breaks: "

    package init(number: Int, name: String, statements: [String]) {
        self.number = number
        self.name = name
        self.statements = statements
    }

    /// FNV-1a over the statements, to notice an edit of what was applied already.
    package var checksum: String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for statement in statements {
            for byte in statement.utf8 + [0] {
                hash ^= UInt64(byte)
                hash &*= 0x100_0000_01b3
            }
        }
        let text = String(hash, radix: 16)
        return String(repeating: "0", count: 16 - text.utf8.count) + text
    }
}

/// Why a schema was not migrated. The database is as it was before the migration that failed.
package enum MigrationError: Error, Equatable, Sendable {
    /// The database was migrated by a newer binary than this one, in a way that this one can't use.
    case newerSchema(schema: String, found: Int, known: Int)
    /// A migration that was applied has been edited since.
    case changed(schema: String, number: Int, name: String)
    /// The list of migrations isn't numbered 1, 2, 3, ...
    case misnumbered(number: Int, name: String)
    case failed(schema: String, number: Int, name: String, PostgresError)
    case database(PostgresError)
}

extension MigrationError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .newerSchema(let schema, let found, let known):
            "schema \(schema) is at version \(found), this program knows \(known): it needs a newer program"
        case .changed(let schema, let number, let name):
            "schema \(schema): migration \(number) (\(name)) is not the one that was applied"
        case .misnumbered(let number, let name): "migration \(number) (\(name)) is out of order"
        case .failed(let schema, let number, let name, let error):
            "schema \(schema): migration \(number) (\(name)) failed: \(error)"
        case .database(let error): error.description
        }
    }
}

/// Brings a schema to the version that the binary knows. Any number of processes may try at once: each migration is one
/// transaction under an advisory lock, and one that is applied already is skipped.
package struct Migrator: Sendable {
    private static let table = "schema_migrations"
    /// The first half of every advisory lock's key; the second is a hash of the schema's name.
    private static let lockSpace: Int32 = 0x6d69

    private struct Applied {
        let number: Int
        let name: String
        let checksum: String
    }

    private let pool: PostgresPool

    package init(_ pool: PostgresPool) { self.pool = pool }

    /// Applies what is missing and answers the numbers that this call applied.
    @discardableResult
    package func migrate(_ migrations: [Migration], schemaName: String) async throws(MigrationError) -> [Int] {
        let schemaName = name(of: schemaName)
        for (index, migration) in migrations.enumerated() where migration.number != index + 1 {
            throw .misnumbered(number: migration.number, name: migration.name)
        }
        var applied: [Int] = []
        let known = try check(try await readApplied(schemaName), migrations, schemaName)
        for migration in migrations.dropFirst(known) where try await apply(migration, migrations, schemaName) {
            applied.append(migration.number)
        }
        return applied
    }

    /// The last migration that was applied to the schema; 0 for none.
    package func currentVersion(schemaName: String) async throws(MigrationError) -> Int {
        try await readApplied(name(of: schemaName)).last?.number ?? 0
    }

    private func name(of schema: String) -> String { pool.names?.name(of: schema) ?? schema }

    private func readApplied(_ schema: String) async throws(MigrationError) -> [Applied] {
        do {
            return try Self.decode(try await pool.query(Self.selectApplied(schema)))
        } catch {
            // Never migrated: neither schema nor table are there.
            guard error.sqlState == .undefinedTable || error.sqlState == "3F000" else { throw .database(error) }
            return []
        }
    }

    /// How many of `migrations` are applied.
    private func check(
        _ applied: [Applied], _ migrations: [Migration], _ schema: String
    ) throws(MigrationError) -> Int {
        // Migrations of a newer release that only add are nothing to this one: both run side by side during an upgrade,
        // and an upgrade that is rolled back leaves them.
        if let newer = applied.last(where: { $0.number > migrations.count && $0.name.hasPrefix(Migration.breaks) }) {
            throw .newerSchema(schema: schema, found: newer.number, known: migrations.count)
        }
        for (migration, row) in zip(migrations, applied)
        where migration.number != row.number || migration.checksum != row.checksum {
            throw .changed(schema: schema, number: migration.number, name: migration.name)
        }
        return applied.count
    }

    /// False when somebody else applied it first.
    private func apply(
        _ migration: Migration, _ migrations: [Migration], _ schema: String
    ) async throws(MigrationError) -> Bool {
        do {
            return try await pool.transaction { transaction in
                transaction.liftTimeLimit()
                try await transaction.pipeline(Self.preparation(schema))
                let applied = try Self.decode(try await transaction.query(Self.selectApplied(schema)))
                guard try check(applied, migrations, schema) < migration.number else { return false }
                let record: Statement = """
                    insert into \(raw: Self.qualified(schema)) (number, name, checksum) \
                    values (\(Int32(migration.number)), \(migration.name), \(migration.checksum))
                    """
                try await transaction.pipeline(
                    migration.statements.map { Statement(raw: $0).once } + [record.once])
                return true
            }
        } catch let error as MigrationError {
            throw error
        } catch let error as PostgresError {
            throw .failed(schema: schema, number: migration.number, name: migration.name, error)
        } catch {
            throw .database(.cancelled)
        }
    }

    private static func qualified(_ schema: String) -> String {
        "\(SQLIdentifier.quoted(schema)).\(SQLIdentifier.quoted(table))"
    }

    private static func selectApplied(_ schema: String) -> Statement {
        Statement(raw: "select number, name, checksum from \(qualified(schema)) order by number").once
    }

    /// The lock comes first, so that only one process at a time creates the schema and the table.
    private static func preparation(_ schema: String) -> [Statement] {
        let name = SQLIdentifier.quoted(schema)
        let lock: Statement = "select pg_advisory_xact_lock(\(lockSpace), hashtext(\(schema)))"
        return [
            Statement(raw: "set local statement_timeout = 0"),
            lock,
            Statement(raw: "create schema if not exists \(name)"),
            Statement(raw: "set local search_path to \(name), public"),
            Statement(
                raw: """
                    create table if not exists \(qualified(schema)) (number integer primary key, name text not null, \
                    checksum text not null, applied_at timestamptz not null default now())
                    """),
        ].map(\.once)
    }

    private static func decode(_ rows: Rows) throws(PostgresError) -> [Applied] {
        var applied: [Applied] = []
        for row in rows {
            applied.append(
                Applied(number: try row.get("number"), name: try row.get("name"), checksum: try row.get("checksum")))
        }
        return applied
    }
}
