/// Whether a value meets what a flavor's extra spec asks for, in Nova's small language: an operator and operands, or a
/// text that must be equal.
package enum ExtraSpecMatch {
    package static func matches(_ value: String, _ wanted: String) -> Bool {
        var words = wanted.split(whereSeparator: \.isWhitespace).map(String.init)
        guard let name = words.first, let comparison = comparison(name) else { return value == wanted }
        words.removeFirst()
        guard let first = words.first else { return false }
        switch comparison {
        case .numbers(let holds):
            guard let left = Double(value), let right = Double(first) else { return false }
            return holds(left, right)
        case .texts(let holds): return holds(value, first)
        case .contains: return value.contains(first)
        case .containsAll: return words.allSatisfy { value.contains($0) }
        // `<or> a <or> b`: every other word.
        case .anyOf: return words.indices.contains { $0.isMultiple(of: 2) && words[$0] == value }
        }
    }

    private enum Comparison {
        case numbers((Double, Double) -> Bool)
        case texts((String, String) -> Bool)
        case contains, containsAll, anyOf
    }

    private static func comparison(_ name: String) -> Comparison? {
        switch name {
        case "=", ">=": .numbers(>=)
        case "==": .numbers(==)
        case "!=": .numbers(!=)
        case "<=": .numbers(<=)
        case "s==": .texts(==)
        case "s!=": .texts(!=)
        case "s<": .texts(<)
        case "s<=": .texts(<=)
        case "s>": .texts(>)
        case "s>=": .texts(>=)
        case "<in>": .contains
        case "<all-in>": .containsAll
        case "<or>": .anyOf
        default: nil
        }
    }
}
