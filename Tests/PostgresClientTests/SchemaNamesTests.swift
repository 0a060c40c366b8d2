import TestSupport
import Testing

@testable import PostgresClient

@Suite(.timeLimit(.minutes(2))) struct SchemaNamesTests {
    private static let names = SchemaNames(["cell", "saga"], prefix: "c7_")

    @Test(arguments: [
        ("select id from cell.instances", "select id from c7_cell.instances"),
        ("select 1 from cell.a join saga.b on true", "select 1 from c7_cell.a join c7_saga.b on true"),
        ("create schema saga", "create schema c7_saga"),
        ("select * from (cell.a)", "select * from (c7_cell.a)"),
    ])
    func aSchemaGetsItsPrefixWhereItQualifiesAndWhereItIsMade(_ text: String, _ expected: String) {
        #expect(Self.names.renamed(in: text) == expected)
    }

    @Test(arguments: [
        "select cell from maps", "select other.cell.x from other.cell", "select 'cell.a', \"cell\".a",
        "select 'it''s cell.a'",
        "select supercell.a, cell_x.b from supercell, cell_x", "select 'open cell.a", "", "select 'é', $1::text",
    ])
    func nothingElseDoes(_ text: String) {
        #expect(Self.names.renamed(in: text) == text)
    }

    @Test(needsServer) func programsLieBesideEachOtherInOneDatabase() async throws {
        try await withPool { pool in
            let migration = Migration(
                number: 1, name: "maps",
                statements: ["create table cell.maps (id int primary key)", "create schema saga"])
            let pools = ["a_", "b_"].map { pool.naming(SchemaNames(["cell", "saga"], prefix: $0)) }
            for pool in pools {
                #expect(try await Migrator(pool).migrate([migration], schemaName: "cell") == [1])
                #expect(try await Migrator(pool).migrate([migration], schemaName: "cell").isEmpty)
            }
            try await pools[0].execute("insert into cell.maps values (\(1 as Int32))")
            try await pools[1].transaction { transaction in
                try await transaction.execute("insert into cell.maps values (\(1 as Int32))")
                try await transaction.execute("insert into cell.maps values (\(2 as Int32))")
            }
            for (pool, count) in zip(pools, [1, 2]) {
                #expect(try await pool.query("select count(*) from cell.maps").scalar(as: Int.self) == count)
                #expect(
                    try await pool.query(Statement(raw: "select count(*) from cell.maps").once).scalar(as: Int.self)
                        == count)
            }
        }
    }

    @Test(needsServer) func closingOneClosesBoth() async throws {
        try await withPool { pool in
            await pool.naming(Self.names).close()
            await #expect(throws: PostgresError.closed) { try await pool.query("select 1") }
        }
    }
}
