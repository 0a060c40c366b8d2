import CloudModel
import Persistence
import PostgresClient
import ServerLifecycle
import TestSupport
import Testing

/// What a cell's database had before a migration is there after it.
@Suite(.enabled(if: PrivatePostgres.isInstalled, "PostgreSQL is not installed"), .timeLimit(.minutes(2)))
struct CellSchemaTests {
    @Test func serversOfTheTimeBeforeDocumentsWereKeptAsWrittenAreReadAfterIt() async throws {
        let pool = PostgresPool(try await PrivatePostgres.shared().createDatabase())
        do {
            let before = CellSchema.migrations.prefix { !$0.name.hasSuffix("documents as they were written") }
            try #require(before.count < CellSchema.migrations.count)
            try await Migrator(pool).migrate(Array(before), schemaName: CellSchema.name)
            let store = PostgresCellStore(pool: pool, cell: testCell)
            try await store.join("host-1")
            var instance = makeInstance()
            instance.metadata = ["kéy": "\"quoted\" and \\"]
            try await store.admit(instance)
            let written = try await store.servers([instance.id])
            #expect(written.map(\.instance.metadata) == [instance.metadata])

            try await Migrator(pool).migrate(CellSchema.migrations, schemaName: CellSchema.name)
            #expect(try await store.servers([instance.id]) == written)
            let type = try await pool.query("select pg_typeof(document)::text from cell.instances")
            #expect(try type.scalar(as: String.self) == "json")
            await pool.close()
        } catch {
            await pool.close()
            throw error
        }
    }
}
