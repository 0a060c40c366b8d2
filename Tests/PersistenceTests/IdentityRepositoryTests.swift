import Persistence
import PostgresClient
import TestSupport
import Testing

@Suite(.enabled(if: PrivatePostgres.isInstalled, Comment(rawValue: PrivatePostgres.missing)), .timeLimit(.minutes(5)))
struct IdentityRepositoryTests {
    @Test(arguments: IdentityContract.cases)
    func postgresKeepsTheContract(of test: IdentityContract.Case) async throws {
        let pool = PostgresPool(try await PrivatePostgres.shared().createDatabase())
        try await Migrator(pool).migrate(IdentitySchema.migrations, schemaName: IdentitySchema.name)
        try await test.run(PostgresIdentityRepository(pool: pool))
        await pool.close()
    }

    @Test func migratesTwiceWithoutAChange() async throws {
        let pool = PostgresPool(try await PrivatePostgres.shared().createDatabase())
        let migrator = Migrator(pool)
        #expect(try await migrator.migrate(IdentitySchema.migrations, schemaName: IdentitySchema.name) == [1, 2, 3])
        #expect(try await migrator.migrate(IdentitySchema.migrations, schemaName: IdentitySchema.name).isEmpty)
        await pool.close()
    }
}
