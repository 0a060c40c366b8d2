import CLibpq
package import Primitives
import Synchronization

/// Owns a PGresult.
///
/// SAFETY: libpq hands a result over complete and never touches it again, and nothing here writes to it, so any thread
/// may read it; it is freed once, when the last reader lets go. The hint beside it is atomic, and any value of it is right.
final class ResultBox: @unchecked Sendable {
    let raw: OpaquePointer
    /// The column after the one that was asked for last: readers take a row's columns in their order. Used only where no two
    /// columns have one name.
    private let next = Atomic<Int32>(0)
    private let isHinted: Bool

    init(_ raw: OpaquePointer) {
        self.raw = raw
        isHinted = PQntuples(raw) > Self.fewRows && Self.hasDistinctNames(raw)
    }
    deinit { PQclear(raw) }

    var rowCount: Int { Int(PQntuples(raw)) }
    var columnCount: Int { Int(PQnfields(raw)) }

    /// Rows that a command inserted, updated, deleted, fetched or copied; 0 where it counts none.
    var affected: Int { PQcmdTuples(raw).flatMap { Int(String(cString: $0)) } ?? 0 }

    /// What the server calls the command that it carried out, such as "COMMIT".
    var tag: String { PQcmdStatus(raw).map { String(cString: $0) } ?? "" }

    func columnName(_ column: Int) -> String { PQfname(raw, Int32(column)).map { String(cString: $0) } ?? "#\(column)" }

    /// The first column of that name, or -1.
    func column(named name: String) -> Int {
        let count = PQnfields(raw)
        var name = name
        return name.withUTF8 { wanted in
            let first = isHinted ? next.load(ordering: .relaxed) : 0
            for step in 0..<count {
                let column = (first + step) % count
                guard let found = PQfname(raw, column), Self.equal(found, wanted) else { continue }
                next.store((column + 1) % count, ordering: .relaxed)
                return Int(column)
            }
            return -1
        }
    }

    /// Of so many rows, looking for each column from the first on costs no more than comparing all names once.
    private static let fewRows: Int32 = 8

    private static func hasDistinctNames(_ raw: OpaquePointer) -> Bool {
        let names = (0..<PQnfields(raw)).map { PQfname(raw, $0).map { String(cString: $0) } ?? "" }
        return Set(names).count == names.count
    }

    func cell(row: Int, column: Int) -> PostgresCell {
        let (row, column) = (Int32(row), Int32(column))
        var bytes: UnsafeRawBufferPointer?
        if PQgetisnull(raw, row, column) == 0 {
            bytes = UnsafeRawBufferPointer(
                start: PQgetvalue(raw, row, column), count: Int(PQgetlength(raw, row, column)))
        }
        let type = PostgresType(rawValue: PQftype(raw, column))
        return PostgresCell(type: type, bytes: bytes, name: PQfname(raw, column))
    }

    private static func equal(_ text: UnsafePointer<CChar>, _ wanted: UnsafeBufferPointer<UInt8>) -> Bool {
        for index in 0..<wanted.count {
            let byte = UInt8(bitPattern: text[index])
            if byte == 0 || byte != wanted[index] { return false }
        }
        return text[wanted.count] == 0
    }
}

/// The answer to a statement. Values are decoded when asked for, on the asking side.
package struct Rows: RandomAccessCollection, Sendable {
    let result: ResultBox
    package let startIndex = 0
    package let endIndex: Int

    init(_ result: ResultBox) {
        self.result = result
        endIndex = result.rowCount
    }

    package subscript(position: Int) -> Row {
        precondition(position >= 0 && position < endIndex, "row index out of range")
        return Row(result: result, index: position)
    }

    /// Rows that the statement inserted, updated, deleted or returned.
    package var affected: Int { result.affected }

    package var columnNames: [String] { (0..<result.columnCount).map { result.columnName($0) } }

    /// Decodes the first column of every row.
    package func column<Value: PostgresDecodable>(as type: Value.Type = Value.self) throws(PostgresError) -> [Value] {
        var values: [Value] = []
        values.reserveCapacity(count)
        for row in self { values.append(try row.get(0)) }
        return values
    }

    /// Decodes the first column of the first row; `nil` when there is no row.
    package func scalar<Value: PostgresDecodable>(as type: Value.Type = Value.self) throws(PostgresError) -> Value? {
        guard let first else { return nil }
        return try first.get(0)
    }
}

/// One row of an answer.
package struct Row: Sendable {
    let result: ResultBox
    let index: Int

    /// Decodes the column of that name (the first, where several have it). NULL needs an optional type.
    package func get<Value: PostgresDecodable>(
        _ name: String, as type: Value.Type = Value.self
    ) throws(PostgresError) -> Value {
        let column = result.column(named: name)
        guard column >= 0 else { throw .decoding(column: name, reason: "no such column") }
        return try decode(Value.self, at: column)
    }

    /// Decodes the column at that position, from 0.
    package func get<Value: PostgresDecodable>(
        _ column: Int, as type: Value.Type = Value.self
    ) throws(PostgresError) -> Value { try decode(Value.self, at: column) }

    package func decode<Value: PostgresDecodable>(
        _ type: Value.Type, at column: Int
    ) throws(PostgresError) -> Value {
        guard column >= 0, column < result.columnCount else {
            throw .decoding(column: "#\(column)", reason: "no such column")
        }
        defer { withExtendedLifetime(result) {} }
        return try Value.decode(result.cell(row: index, column: column))
    }

    /// Decodes a json or jsonb column into a Codable type.
    package func json<Value: Decodable>(_ name: String, as type: Value.Type = Value.self) throws(PostgresError) -> Value
    {
        try get(name, as: PostgresJSONValue<Value>.self).value
    }

    /// Reads a json or jsonb column into a type that reads itself: much cheaper than a decoder.
    package func document<Value: JSONReadable>(
        _ name: String, as type: Value.Type = Value.self
    ) throws(PostgresError) -> Value {
        try get(name, as: PostgresJSONDocument<Value>.self).value
    }

    package func contains(_ name: String) -> Bool { result.column(named: name) >= 0 }
    package func isNull(_ name: String) throws(PostgresError) -> Bool { try get(name, as: PostgresIsNull.self).isNull }
}

/// Any value at all: only asks whether it is there.
struct PostgresIsNull: PostgresDecodable {
    let isNull: Bool
    static func decode(_ cell: PostgresCell) -> PostgresIsNull { PostgresIsNull(isNull: cell.bytes == nil) }
}
