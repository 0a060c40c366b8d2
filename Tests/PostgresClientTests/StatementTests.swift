import FoundationEssentials
import Testing

@testable import PostgresClient

struct StatementTests {
    @Test func `interpolated values become numbered parameters`() {
        let statement: Statement = "select * from t where id = \(7) and name = \("x' or '1'='1") and ok = \(true)"
        #expect(statement.sql == "select * from t where id = $1 and name = $2 and ok = $3")
        #expect(statement.bindCount == 3)
        #expect(statement.binds.map(\.type) == [.int8, .inferred, .bool])
    }

    @Test func `an absent value is a NULL of its type`() {
        let statement: Statement = "select \(UUID?.none), \(Int32?.some(3))"
        #expect(statement.sql == "select $1, $2")
        #expect(statement.binds.map(\.type) == [.uuid, .int4])
        #expect(statement.binds.map { $0.range == nil } == [true, false])
    }

    @Test func `only raw text and quoted identifiers become part of the SQL`() {
        let statement: Statement = "select \(identifier: "we\"ird") from \(raw: "a.b") where c = \("d")"
        #expect(statement.sql == "select \"we\"\"ird\" from a.b where c = $1")
    }

    @Test func `fragments keep their values and are numbered on`() {
        let conditions: [Statement] = ["a = \(1)", "b between \("x") and \("y")", "c"]
        let statement: Statement =
            "select \(0) where \(fragment: .joined(conditions, separator: " and ")) limit \(10)"
        #expect(statement.sql == "select $1 where a = $2 and b between $3 and $4 and c limit $5")
        #expect(statement.binds.map(\.type) == [.int8, .int8, .inferred, .inferred, .int8])
        let texts = statement.binds.map { bind in bind.range.map { Array(statement.bytes[$0]) } }
        #expect(texts[2] == Array("x".utf8) && texts[3] == Array("y".utf8))
    }

    @Test func `a fragment in a fragment with more than nine values is numbered right`() {
        let many = Statement.joined((1...12).map { "\($0)" }, separator: ",")
        let statement: Statement = "\("é€😀")\(fragment: "ü(\(fragment: many))ß") \(1)"
        #expect(statement.sql == "$1ü($2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13)ß $14")
    }

    @Test func `text with a NUL is refused, not cut`() {
        let statement: Statement = "select \("a\u{0}b")"
        #expect(statement.failure == .encoding("PostgreSQL's text can't hold a NUL character"))
    }

    @Test func `a value without a JSON form is refused`() {
        let statement: Statement = "select \(.json(Double.nan))"
        guard case .encoding = statement.failure else {
            Issue.record("accepted: \(statement)")
            return
        }
    }

    @Test func `a date that is out of range is refused`() {
        let statement: Statement = "select \(Date(timeIntervalSinceReferenceDate: 1e300))"
        #expect(statement.failure == .encoding("date out of range"))
    }

    @Test func `values are in no description of a statement`() {
        let statement: Statement = "select \("hunter2")"
        var dumped = ""
        dump(statement, to: &dumped)
        let bytes = Array("hunter2".utf8).map(String.init).joined(separator: ", ")
        for text in ["\(statement)", String(reflecting: statement), dumped] {
            #expect(!text.contains("hunter2") && !text.contains(bytes) && text.contains("select $1"))
        }
    }

    @Test func `arrays are one parameter`() {
        let statement: Statement = "select 1 where id = any(\([UUID()])) or n = any(\(["a", "b"])) or b = \([UInt8(1)])"
        #expect(statement.binds.map(\.type) == [.uuidArray, .textArray, .bytea])
    }
}
