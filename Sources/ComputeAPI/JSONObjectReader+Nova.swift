import HTTPKit
import Primitives

// The value types that Nova's schemas share.
extension JSONObjectReader {
    /// A truth value as Nova takes it: JSON's own, or text such as `True`, `0`, `yes`.
    mutating func looseBool(_ key: String) throws(APIFault) -> Bool? {
        guard let value = value(key) else { return nil }
        switch value {
        case .bool(let flag): return flag
        case .string(let text):
            guard let flag = QueryParameters.bool(text) else { throw invalid(key, value, "is not a boolean") }
            return flag
        case .null, .integer, .number, .array, .object: throw invalid(key, value, "is not a boolean")
        }
    }

    /// A name: printable, at most 255 characters, without blanks at its ends.
    mutating func name(_ key: String = "name") throws(APIFault) -> String? {
        guard let text = try string(key, length: 1...255) else { return nil }
        let isPrintable = text.unicodeScalars.allSatisfy { scalar in
            switch scalar.properties.generalCategory {
            case .control, .lineSeparator, .paragraphSeparator, .surrogate, .unassigned, .privateUse: false
            default: true
            }
        }
        let isTrimmed = text.first?.isWhitespace != true && text.last?.isWhitespace != true
        guard isPrintable, isTrimmed else {
            throw invalid(
                key, .string(text),
                "is not a name: it must have printable characters and no white space at its beginning or end")
        }
        return text
    }

    mutating func requiredName(_ key: String = "name") throws(APIFault) -> String {
        guard let text = try name(key) else { throw missing(key) }
        return text
    }

    /// A number that is not negative, as JSON's or as text.
    mutating func number(_ key: String) throws(APIFault) -> Double? {
        guard let value = value(key) else { return nil }
        let number: Double? =
            switch value {
            case .integer(let integer): Double(integer)
            case .number(let number): number
            case .string(let text): Double(text)
            case .null, .bool, .array, .object: nil
            }
        guard let number, number.isFinite, number >= 0 else { throw invalid(key, value, "is not a number") }
        return number
    }
}
