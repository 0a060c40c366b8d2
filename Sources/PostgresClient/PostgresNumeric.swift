/// Reads PostgreSQL's numeric, which sums and counts of bigint come as, into decimal text.
struct PostgresNumeric: CustomStringConvertible {
    private static let negative: UInt16 = 0x4000
    private static let positive: UInt16 = 0
    private static let notANumber: UInt16 = 0xC000
    private static let infinity: UInt16 = 0xD000
    private static let negativeInfinity: UInt16 = 0xF000

    let description: String

    init(_ cell: PostgresCell) throws(PostgresError) {
        let bytes = try cell.value()
        guard bytes.count >= 8, bytes.count.isMultiple(of: 2) else { throw cell.failure("is a malformed numeric") }
        let words = (0..<bytes.count / 2).map {
            UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: $0 * 2, as: UInt16.self))
        }
        let weight = Int(Int16(bitPattern: words[1]))
        let digits = words[4...]
        guard Int(words[0]) == digits.count else { throw cell.failure("is a malformed numeric") }
        switch words[2] {
        case Self.positive: description = Self.text(digits, weight: weight, scale: Int(words[3]))
        case Self.negative: description = "-" + Self.text(digits, weight: weight, scale: Int(words[3]))
        case Self.notANumber: description = "nan"
        case Self.infinity: description = "inf"
        case Self.negativeInfinity: description = "-inf"
        default: throw cell.failure("is a malformed numeric")
        }
    }

    /// `digits` are in base 10,000; the first one counts 10,000 to the power of `weight`.
    private static func text(_ digits: ArraySlice<UInt16>, weight: Int, scale: Int) -> String {
        func group(_ power: Int) -> String {
            let index = digits.startIndex + weight - power
            let value = digits.indices.contains(index) ? digits[index] : 0
            let text = String(value)
            return String(repeating: "0", count: 4 - text.utf8.count) + text
        }
        let whole = weight < 0 ? "0" : (0...weight).reversed().map(group).joined()
        let trimmed = whole.drop { $0 == "0" }
        var text = trimmed.isEmpty ? "0" : String(trimmed)
        if scale > 0 {
            let groups = (scale + 3) / 4
            text += "." + (1...groups).map { group(-$0) }.joined().prefix(scale)
        }
        return text
    }
}
