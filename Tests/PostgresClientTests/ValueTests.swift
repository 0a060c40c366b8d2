import FoundationEssentials
import PostgresClient
import Primitives
import TestSupport
import Testing

@Suite(needsServer, .timeLimit(.minutes(5)))
struct ValueTests {
    private enum Mood: String, PostgresEncodable, PostgresDecodable { case calm, angry }
    private enum Level: Int32, PostgresEncodable, PostgresDecodable { case low = 1, high = 2 }
    private struct Document: Codable, Equatable {
        var name: String
        var sizes: [Int]
        var note: String?
    }

    /// Sends a value, casts it so that the server has to understand it, and reads it back.
    private func echo<Value: PostgresEncodable & PostgresDecodable & Equatable & Sendable>(
        _ value: Value, _ type: String, _ pool: PostgresPool
    ) async throws {
        let row = try #require(try await pool.query("select \(value)::\(raw: type) as v, \(Value?.none) as n").first)
        #expect(try row.get("v", as: Value.self) == value)
        #expect(try row.get("v", as: Value?.self) == value)
        #expect(try row.get("n", as: Value?.self) == nil)
        #expect(throws: PostgresError.decoding(column: "n", reason: "is NULL")) { try row.get("n", as: Value.self) }
    }

    @Test func `every type survives the way there and back`() async throws {
        try await withPool { pool async throws in
            for text in ["", "plain", "quote ' \" \\ $1 ; --", "Zoë 東京 🦊 \u{202E}rtl", "line\nbreak\ttab"] {
                try await echo(text, "text", pool)
            }
            for number in [0, 1, -1, Int.max, Int.min] { try await echo(number, "bigint", pool) }
            for number in [Int32.max, .min] { try await echo(number, "integer", pool) }
            for number in [Int16.max, .min] { try await echo(number, "smallint", pool) }
            for number in [0.1, -0.0, .infinity, 1e308, 2.2250738585072014e-308] {
                try await echo(number, "double precision", pool)
            }
            for flag in [true, false] { try await echo(flag, "boolean", pool) }
            try await echo(UUID(), "uuid", pool)
            try await echo(Identifier<Document>(UUID()), "uuid", pool)
            try await echo(Data([0, 1, 255, 0]), "bytea", pool)
            try await echo([UInt8](0...255), "bytea", pool)
            try await echo(["a", "", "ü", "{\",NULL}"], "text[]", pool)
            try await echo([String](), "text[]", pool)
            try await echo([UUID(), UUID()], "uuid[]", pool)
            try await echo([Int64.min, 0, .max], "bigint[]", pool)
            try await echo(Mood.angry, "text", pool)
            try await echo(Level.high, "integer", pool)
        }
    }

    @Test func `dates keep their microseconds`() async throws {
        try await withPool { pool async throws in
            let dates = [
                0, 0.000001, -0.000001, 789_012_345.678901, -12_345_678_901.5, 31_536_000_000.25,
            ].map { Date(timeIntervalSinceReferenceDate: $0) }
            for date in dates + [.distantPast, .distantFuture] {
                let row = try #require(try await pool.query("select \(date) as d").first)
                #expect(abs(try row.get("d", as: Date.self).timeIntervalSince(date)) < 0.0000006)
            }
            let row = try #require(
                try await pool.query(
                    """
                    select '2026-01-02 03:04:05.678901+00'::timestamptz as a, 'infinity'::timestamptz as b, \
                    to_char(\(Date(timeIntervalSince1970: 1_767_323_045.678901)), 'YYYY-MM-DD HH24:MI:SS.US') as c
                    """
                ).first)
            #expect(try row.get("a", as: Date.self) == Date(timeIntervalSince1970: 1_767_323_045.678901))
            #expect(try row.get("b", as: Date.self) == .distantFuture)
            #expect(try row.get("c", as: String.self) == "2026-01-02 03:04:05.678901")
        }
    }

    /// Else what began together is told as one after the other.
    @Test func `a date is the same microsecond as a number, and comes back as one`() async throws {
        try await withPool { pool async throws in
            for step in 0..<400 {
                let date = Date(timeIntervalSinceReferenceDate: 817_000_000 + Double(step) * 0.4999997)
                let row = try #require(
                    try await pool.query(
                        "select \(date) as d, (extract(epoch from \(date)) * 1000000)::bigint as n"
                    ).first)
                #expect(try row.get("n", as: Int64.self) == date.microseconds)
                #expect(try row.get("d", as: Date.self) == Date(microseconds: date.microseconds))
            }
        }
    }

    @Test func `documents go into jsonb and come back`() async throws {
        try await withPool { pool async throws in
            let document = Document(name: "é\"\\", sizes: [1, 2], note: nil)
            try await pool.execute("create table d (j jsonb not null)")
            try await pool.execute("insert into d values (\(.json(document))), (\(PostgresJSON(text: "{\"a\":[]}")))")
            let rows = try await pool.query("select j, j::json as plain, j::text as t from d where j ? 'name'")
            let row = try #require(rows.first)
            #expect(try row.json("j", as: Document.self) == document)
            #expect(try row.json("plain", as: Document.self) == document)
            #expect(try row.get("j", as: String.self) == row.get("t", as: String.self))
            #expect(throws: PostgresError.self) { try row.json("j", as: [Int].self) }
        }
    }

    @Test func `documents are kept in json as they were written`() async throws {
        try await withPool { pool async throws in
            let document = Document(name: "é\"\\", sizes: [1, 2], note: nil)
            let value = PostgresDocument(document)
            try await pool.execute("create table w (j json not null, b jsonb not null)")
            try await pool.execute("insert into w values (\(value), \(value))")
            let row = try #require(try await pool.query("select j, b, j::text as t from w").first)
            #expect(try row.json("j", as: Document.self) == document)
            #expect(try row.json("b", as: Document.self) == document)
            let written = try JSONEncoder().encode(document)
            #expect(try row.get("t", as: String.self).utf8.count == written.count)
        }
    }

    @Test func `numerics are read as whole numbers, fractions and text`() async throws {
        try await withPool { pool async throws in
            let texts = [
                "0", "1", "-1", "10000", "123456789012345678", "0.5", "-0.00012", "99999999.0001", "1.50",
                "-12345.6789",
                "100000000", "0.0000000001",
            ]
            for text in texts {
                let row = try #require(try await pool.query("select \(text)::numeric as n").first)
                #expect(try row.get("n", as: String.self) == text)
                #expect(try row.get("n", as: Double.self) == Double(text))
            }
            let sum = try await pool.query("select sum(n) from generate_series(1::bigint, 1000) n").scalar(as: Int.self)
            #expect(sum == 500_500)
            #expect(try await pool.query("select 'nan'::numeric").scalar(as: Double.self)?.isNaN == true)
        }
    }

    @Test func `a megabyte in a value and many rows arrive whole`() async throws {
        try await withPool { pool async throws in
            let text = String(repeating: "ä€", count: 500_000)
            let bytes = [UInt8](repeating: 7, count: 5_000_000)
            let row = try #require(try await pool.query("select \(text)::text as t, \(bytes) as b").first)
            #expect(try row.get("t", as: String.self) == text)
            #expect(try row.get("b", as: [UInt8].self) == bytes)
            let rows = try await pool.query("select n from generate_series(1, 100000) n")
            #expect(try rows.column(as: Int.self) == Array(1...100_000))
        }
    }

    @Test func `arrays select many rows at once`() async throws {
        try await withPool { pool async throws in
            let ids = (0..<5).map { _ in UUID() }
            try await pool.execute("create table t (id uuid, n bigint)")
            try await pool.pipeline(ids.enumerated().map { "insert into t values (\($1), \($0))" })
            let wanted = [ids[1], ids[3]]
            let rows = try await pool.query("select n from t where id = any(\(wanted)) order by n")
            #expect(try rows.column(as: Int.self) == [1, 3])
        }
    }

    @Test func `a value that is not what was asked for names its column`() async throws {
        try await withPool { pool async throws in
            let row = try #require(
                try await pool.query("select 'x'::text as t, 1 as n, now() as d, null::int as z").first)
            #expect(throws: PostgresError.decoding(column: "t", reason: "type 25 is not an integer")) {
                try row.get("t", as: Int.self)
            }
            #expect(throws: PostgresError.self) { try row.get("n", as: String.self) }
            #expect(throws: PostgresError.self) { try row.get("d", as: Bool.self) }
            #expect(throws: PostgresError.decoding(column: "none", reason: "no such column")) {
                try row.get("none", as: Int.self)
            }
            #expect(throws: PostgresError.decoding(column: "#4", reason: "no such column")) {
                try row.get(4, as: Int.self)
            }
            #expect(throws: PostgresError.decoding(column: "t", reason: "x is no known Mood")) {
                try row.get("t", as: Mood.self)
            }
            #expect(try row.isNull("z") && !row.isNull("n"))
            #expect(row.contains("z") && !row.contains("zz"))
        }
    }

    @Test(arguments: [
        "'; drop table victims; --", "' or '1'='1", "$1", "\\'; select 1", "x\u{2019}; --", "a\"b", "%s", "{}", "NULL",
    ])
    func `an injection attempt stays data`(text: String) async throws {
        try await withPool { pool async throws in
            try await pool.execute("create table victims (name text)")
            try await pool.execute("insert into victims values (\(text))")
            #expect(
                try await pool.query("select name from victims where name = \(text)").column(as: String.self) == [text])
            #expect(try await pool.query("select 1 from victims where name = \(text + "x")").isEmpty)
            try await pool.execute("create table \(identifier: text) (\(identifier: text) int)")
            #expect(try await pool.query("select * from \(identifier: text)").columnNames == [text])
        }
    }

    @Test func `text can stand for any type that the server infers`() async throws {
        try await withPool { pool async throws in
            try await pool.execute("create type colour as enum ('red', 'green')")
            try await pool.execute("create table t (c colour, u uuid, i inet, j jsonb)")
            let id = UUID().uuidString.lowercased()
            try await pool.execute("insert into t values (\("red"), \(id), \("10.0.0.1"), \("{}"))")
            let row = try #require(try await pool.query("select c, u, host(i) as i from t where c = \("red")").first)
            #expect(try row.get("c", as: String.self) == "red")
            #expect(try row.get("u", as: String.self) == id)
            #expect(try row.get("i", as: String.self) == "10.0.0.1")
        }
    }
}
