import PostgresClient
import TestSupport
import Testing

@Suite(needsServer, .timeLimit(.minutes(5)))
struct MigratorTests {
    private static let first = Migration(
        number: 1, name: "tables", statements: ["create table a (id int primary key)", "insert into a values (1)"])
    private static let second = Migration(number: 2, name: "column", statements: ["alter table a add name text"])
    private static let schema = "api"

    @Test func `missing migrations are applied in order and only once`() async throws {
        try await withPool { pool async throws in
            let migrator = Migrator(pool)
            #expect(try await migrator.currentVersion(schemaName: Self.schema) == 0)
            #expect(try await migrator.migrate([Self.first], schemaName: Self.schema) == [1])
            #expect(try await migrator.migrate([Self.first, Self.second], schemaName: Self.schema) == [2])
            #expect(try await migrator.migrate([Self.first, Self.second], schemaName: Self.schema) == [])
            #expect(try await migrator.currentVersion(schemaName: Self.schema) == 2)
            #expect(try await pool.query("select id, name from api.a").count == 1)
        }
    }

    @Test func `schemas of one database are migrated apart`() async throws {
        try await withPool { pool async throws in
            let migrator = Migrator(pool)
            for schema in ["api", "We\"ird"] {
                #expect(try await migrator.migrate([Self.first], schemaName: schema) == [1])
            }
            #expect(try await pool.query("select 1 from \(identifier: "We\"ird").a").count == 1)
        }
    }

    @Test func `a schema that a newer program added to is left alone`() async throws {
        try await withPool { pool async throws in
            let migrator = Migrator(pool)
            try await migrator.migrate([Self.first, Self.second], schemaName: Self.schema)
            #expect(try await migrator.migrate([Self.first], schemaName: Self.schema) == [])
            #expect(try await migrator.currentVersion(schemaName: Self.schema) == 2)
        }
    }

    @Test func `a schema that a newer program changed beyond use is refused and left alone`() async throws {
        try await withPool { pool async throws in
            let migrator = Migrator(pool)
            let breaking = Migration(
                number: 2, name: "breaks: api names things", statements: Self.second.statements)
            try await migrator.migrate([Self.first, breaking], schemaName: Self.schema)
            await #expect(throws: MigrationError.newerSchema(schema: Self.schema, found: 2, known: 1)) {
                try await migrator.migrate([Self.first], schemaName: Self.schema)
            }
        }
    }

    @Test func `a migration that was edited after it was applied is refused`() async throws {
        try await withPool { pool async throws in
            let migrator = Migrator(pool)
            try await migrator.migrate([Self.first], schemaName: Self.schema)
            let edited = Migration(number: 1, name: "tables", statements: ["create table a (id bigint)"])
            await #expect(throws: MigrationError.changed(schema: Self.schema, number: 1, name: "tables")) {
                try await migrator.migrate([edited, Self.second], schemaName: Self.schema)
            }
            #expect(try await migrator.currentVersion(schemaName: Self.schema) == 1)
        }
    }

    @Test func `a migration that fails leaves the ones before it and nothing of itself`() async throws {
        try await withPool { pool async throws in
            let migrator = Migrator(pool)
            let broken = Migration(number: 2, name: "broken", statements: ["create table b (id int)", "select 1/0"])
            let error = await #expect(throws: MigrationError.self) {
                try await migrator.migrate([Self.first, broken], schemaName: Self.schema)
            }
            guard case .failed(_, 2, "broken", let cause) = error else {
                Issue.record("\(String(describing: error))")
                return
            }
            #expect(cause.sqlState == "22012")
            #expect(try await migrator.currentVersion(schemaName: Self.schema) == 1)
            #expect(try await migrator.migrate([Self.first, Self.second], schemaName: Self.schema) == [2])
        }
    }

    @Test func `a list with a gap is refused before anything is touched`() async throws {
        try await withPool { pool async throws in
            await #expect(throws: MigrationError.misnumbered(number: 2, name: "column")) {
                try await Migrator(pool).migrate([Self.second], schemaName: Self.schema)
            }
            #expect(try await pool.query("select 1 from pg_namespace where nspname = 'api'").isEmpty)
        }
    }

    @Test func `any number of processes may migrate at once`() async throws {
        try await withPool({ $0.maximumConnections = 8 }) { pool async throws in
            let migrations = (1...5).map {
                Migration(
                    number: $0, name: "t\($0)", statements: ["create table t\($0) (id int)", "select pg_sleep(0.01)"])
            }
            let applied = try await withThrowingTaskGroup(of: [Int].self) { group in
                for _ in 0..<8 {
                    group.addTask { try await Migrator(pool).migrate(migrations, schemaName: Self.schema) }
                }
                return try await group.reduce(into: []) { $0 += $1 }
            }
            #expect(applied.sorted() == [1, 2, 3, 4, 5])
        }
    }

    @Test func `a migration may take longer than the statement time-out`() async throws {
        try await withPool({ $0.statementTimeout = .seconds(1) }) { pool async throws in
            let slow = Migration(number: 1, name: "slow", statements: ["select pg_sleep(1.5)"])
            #expect(try await Migrator(pool).migrate([slow], schemaName: Self.schema) == [1])
        }
    }
}
