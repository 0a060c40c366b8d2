import TestSupport
import Testing

@testable import PostgresClient

@Suite(needsServer, .timeLimit(.minutes(5)))
struct PreparedStatementTests {
    private func preparedCount(_ pool: PostgresPool) async throws -> Int? {
        try await pool.query(Statement("select count(*) from pg_prepared_statements").once).scalar()
    }

    @Test func `a session never holds more prepared statements than the bound`() async throws {
        try await withPool({
            $0.maximumConnections = 1
            $0.preparedStatementLimit = 5
        }) { pool async throws in
            for round in 0..<3 {
                for width in 1...12 {
                    let values = Statement.joined((0..<width).map { "\($0 + round)" }, separator: "+")
                    let sum = try await pool.query("select \(fragment: values)").scalar(as: Int.self)
                    #expect(sum == (0..<width).reduce(0) { $0 + $1 + round })
                }
                #expect(try await preparedCount(pool) == 5)
            }
        }
    }

    @Test func `a pipeline with more statements than the bound works`() async throws {
        try await withPool({
            $0.maximumConnections = 1
            $0.preparedStatementLimit = 2
        }) { pool async throws in
            let answers = try await pool.pipelineTransaction((0..<20).map { "select \($0) as \(identifier: "c\($0)")" })
            #expect(try answers.map { try $0.scalar(as: Int.self) } == Array(0..<20))
            #expect(try await preparedCount(pool) == 2)
        }
    }

    @Test func `rows of a few keys are planned once, and found whatever their number`() async throws {
        try await withPool({ $0.maximumConnections = 1 }) { pool async throws in
            try await pool.execute("create table things as select n::bigint as n from generate_series(0, 999) n")
            try await pool.execute("create unique index on things (n)")
            try await pool.execute("analyze things")
            for count in [0, 1, 2, 3, 5, 63, 64, 65, 200] {
                let keys = (0..<count).map { Int64($0 * 3) }
                let found = try await pool.query(
                    "select n from things where \(fragment: .column("n", isIn: keys)) order by n")
                #expect(try found.column(as: Int64.self) == keys)
            }
            for key in 0..<Int64(12) {
                let found = try await pool.query("select n from things where \(fragment: .column("n", isIn: [key]))")
                #expect(try found.column(as: Int64.self) == [key])
            }
            let plans = try await pool.query(
                Statement(
                    "select generic_plans from pg_prepared_statements where statement like '%n = $1' order by 1 desc"
                ).once)
            #expect(try #require(plans.first).get("generic_plans", as: Int64.self) > 0)
        }
    }

    @Test func `a statement that failed to prepare can be prepared later`() async throws {
        try await withPool({ $0.maximumConnections = 1 }) { pool async throws in
            let statement: Statement = "select n from later where n = \(Int32(1))"
            await #expect(throws: PostgresError.self) { try await pool.query(statement) }
            await #expect(throws: PostgresError.self) { try await pool.pipeline(["select 1/0", statement]) }
            try await pool.execute("create table later as select 1 as n")
            #expect(try await pool.query(statement).count == 1)
            #expect(try await pool.query(statement).count == 1)
        }
    }

    @Test func `evictions skipped by an error are made up for`() async throws {
        try await withPool({
            $0.maximumConnections = 1
            $0.preparedStatementLimit = 2
        }) { pool async throws in
            for round in 0..<5 {
                await #expect(throws: PostgresError.self) {
                    try await pool.pipelineTransaction(["select 1/0", "select \(round) as a", "select \(round) as b"])
                }
                for number in 0..<3 {
                    #expect(try await pool.query("select \(round), \(raw: "\(number)")").count == 1)
                }
            }
            #expect(try await preparedCount(pool) == 2)
        }
    }

    @Test func `statements that were never prepared are not deallocated`() async throws {
        try await withPool({
            $0.maximumConnections = 1
            $0.preparedStatementLimit = 1
        }) { pool async throws in
            let backend = try await pool.backendID()
            for round in 0..<3 {
                await #expect(throws: PostgresError.self) {
                    try await pool.pipeline(["select 1/0", "select \(round) as a", "select \(round) as b"])
                }
                #expect(try await pool.query("select \(round) as c").count == 1)
            }
            #expect(try await preparedCount(pool) == 1)
            #expect(try await pool.backendID() == backend)
        }
    }

    @Test func `a session whose statements somebody discarded is replaced`() async throws {
        try await withPool({ $0.maximumConnections = 1 }) { pool async throws in
            let statement: Statement = "select \(1)"
            #expect(try await pool.query(statement).count == 1)
            try await pool.execute(Statement("deallocate all").once)
            let error = await #expect(throws: PostgresError.self) { try await pool.query(statement) }
            #expect(error?.sqlState == .invalidStatementName)
            #expect(try await pool.query(statement).count == 1)
        }
    }

    @Test func `altering a table under a prepared statement is not noticed by callers`() async throws {
        try await withPool({ $0.maximumConnections = 1 }) { pool async throws in
            try await pool.execute("create table t (a int)")
            try await pool.execute("insert into t values (1)")
            let statement: Statement = "select * from t"
            #expect(try await pool.query(statement).columnNames == ["a"])
            try await pool.execute("alter table t add b int")
            #expect(try await pool.query(statement).columnNames == ["a", "b"])
            try await pool.execute("alter table t add c int")
            let names = try await pool.transaction { try await $0.query(statement).columnNames }
            #expect(names == ["a", "b", "c"])
            try await pool.execute("alter table t add d int")
            let piped = try await pool.pipelineTransaction(["insert into t values (2)", statement])
            #expect(piped.last?.columnNames == ["a", "b", "c", "d"])
            #expect(try await pool.query("select count(*) from t").scalar(as: Int.self) == 2)
        }
    }
}
