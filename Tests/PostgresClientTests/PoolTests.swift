import FoundationEssentials
import PostgresClient
import TestSupport
import Testing

@Suite(.enabled(if: PrivatePostgres.isInstalled, "\(PrivatePostgres.missing)"))
struct PoolTests {
    let pool: PostgresPool

    init() async throws { pool = PostgresPool(try await PrivatePostgres.shared().createDatabase()) }

    @Test func `a value that was bound comes back`() async throws {
        let rows = try await pool.query(
            "select \(7) as number, \("seven")::text as name, \(String?.none)::text as none")
        #expect(rows.count == 1)
        let row = try #require(rows.first)
        #expect(try row.get("number", as: Int.self) == 7)
        #expect(try row.get("name", as: String.self) == "seven")
        #expect(try row.get("none", as: String?.self) == nil)
        await pool.close()
    }

    @Test func `a transaction that returns is committed`() async throws {
        try await pool.execute("create table t (id int primary key)")
        try await pool.transaction { transaction in
            try await transaction.execute("insert into t values (\(1))")
            try await transaction.execute("insert into t values (\(2))")
        }
        #expect(try await pool.query("select id from t order by id").column(as: Int.self) == [1, 2])
        await pool.close()
    }

    @Test func `a transaction that throws is rolled back`() async throws {
        struct Refusal: Error {}
        try await pool.execute("create table t (id int primary key)")
        await #expect(throws: Refusal.self) {
            try await pool.transaction { transaction in
                try await transaction.execute("insert into t values (\(1))")
                throw Refusal()
            }
        }
        #expect(try await pool.query("select id from t").isEmpty)
        await pool.close()
    }
}
