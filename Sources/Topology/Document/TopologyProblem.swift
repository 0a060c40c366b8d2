/// One thing that is wrong with a topology file, and where.
package struct TopologyProblem: Sendable, Hashable, Comparable {
    /// What was broken. The text is stable: tests and scripts may rely on it.
    package enum Rule: String, Sendable, CaseIterable, Codable {
        case syntax
        case tooLarge = "too-large"
        case duplicateKey = "duplicate-key"
        case unknownKey = "unknown-key"
        case missingKey = "missing-key"
        case wrongType = "wrong-type"
        case badValue = "bad-value"
        case unknownReference = "unknown-reference"
        case duplicateName = "duplicate-name"
        case duplicateAddress = "duplicate-address"
        case conflict
        /// Understood, and nothing can act on it yet.
        case notSupported = "not-supported"
    }

    /// Counted from 1; columns in Unicode scalars.
    package var line: Int
    package var column: Int
    package var rule: Rule
    /// A sentence without the position and without a full stop.
    package var message: String
    /// The valid name nearest to what was written, if one is near.
    package var suggestion: String?

    package init(line: Int, column: Int, rule: Rule, message: String, suggestion: String? = nil) {
        self.line = line
        self.column = column
        self.rule = rule
        self.message = message
        self.suggestion = suggestion
    }

    /// `topology.yaml:12:5: unknown key "adress" in a host; did you mean "address"? [unknown-key]`
    package func text(file: String) -> String {
        let hint = suggestion.map { "; did you mean \"\($0)\"?" } ?? ""
        return "\(file):\(line):\(column): \(message)\(hint) [\(rule.rawValue)]"
    }

    package static func < (left: TopologyProblem, right: TopologyProblem) -> Bool {
        (left.line, left.column, left.message) < (right.line, right.column, right.message)
    }
}

/// A topology file that can't be used, with everything that is wrong with it.
package struct InvalidTopology: Error, Sendable, Equatable, CustomStringConvertible {
    package let file: String
    /// In the order of the file; never empty.
    package let problems: [TopologyProblem]

    package var description: String { problems.map { $0.text(file: file) }.joined(separator: "\n") }
}
