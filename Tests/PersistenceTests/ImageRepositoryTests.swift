import Persistence
import PostgresClient
import TestSupport
import Testing

@Suite(.enabled(if: PrivatePostgres.isInstalled, Comment(rawValue: PrivatePostgres.missing)), .timeLimit(.minutes(5)))
struct ImageRepositoryTests {
    @Test(arguments: ImageContract.cases)
    func postgresKeepsTheContract(of test: ImageContract.Case) async throws {
        let pool = PostgresPool(try await PrivatePostgres.shared().createDatabase())
        try await Migrator(pool).migrate(ImageSchema.migrations, schemaName: ImageSchema.name)
        try await test.run(PostgresImageRepository(pool: pool))
        await pool.close()
    }
}
