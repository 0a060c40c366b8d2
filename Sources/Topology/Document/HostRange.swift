/// Expands a host pattern: `rack7-[01-40]` is forty names, `a[1-2]b[1-2]` four. Leading zeros are kept.
enum HostRange {
    /// Names that one entry may stand for.
    static let limit = 10_000

    enum Failure: Error, Equatable {
        /// Brackets that do not pair, or something in them that is not `number-number`.
        case malformed
        /// The first number is greater than the last.
        case backwards
        case tooMany
    }

    static func expand(_ pattern: String) throws(Failure) -> [String] {
        var names = [""]
        var rest = pattern[...]
        while let open = rest.firstIndex(of: "[") {
            guard !rest[..<open].contains("]"), let close = rest[open...].firstIndex(of: "]") else { throw .malformed }
            let numbers = try range(rest[rest.index(after: open)..<close])
            guard names.count * numbers.count <= limit else { throw .tooMany }
            let prefix = rest[..<open]
            names = names.flatMap { name in numbers.map { name + prefix + $0 } }
            rest = rest[rest.index(after: close)...]
        }
        guard !rest.contains("]") else { throw .malformed }
        return names.map { $0 + rest }
    }

    private static func range(_ text: Substring) throws(Failure) -> [String] {
        let bounds = text.split(separator: "-", omittingEmptySubsequences: false)
        guard bounds.count == 2,
            bounds.allSatisfy({ (1...6).contains($0.utf8.count) && $0.allSatisfy(\.isASCIIDigit) }),
            let first = Int(bounds[0]), let last = Int(bounds[1])
        else { throw .malformed }
        guard first <= last else { throw .backwards }
        guard last - first < limit else { throw .tooMany }
        let width = bounds[0].utf8.count
        return (first...last).map { number in
            let digits = String(number)
            return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
        }
    }
}

extension Character {
    var isASCIIDigit: Bool { ("0"..."9").contains(self) }
}
