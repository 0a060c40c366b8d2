import Yams

/// Turns YAML text into a ``DocumentNode`` tree. The only place that knows the YAML library.
struct YAMLSource {
    /// Bytes that a file may have.
    static let sizeLimit = 16 * 1024 * 1024
    /// Pieces a file may have, aliases written out.
    static let nodeLimit = 2_000_000
    static let depthLimit = 64
    /// Duplicate keys reported before giving up.
    static let duplicateLimit = 32
    /// First of the private-use letters that stand in for the first letter of a key's repeats while reading on.
    private static let maskBase: UInt32 = 0xe000

    private(set) var problems: [TopologyProblem] = []
    private var nodes = 0

    /// The document's tree, or `nil` when it can't be read; ``problems`` says why. A tree may come with problems.
    mutating func read(_ text: String) -> DocumentNode? {
        guard text.utf8.count <= Self.sizeLimit else {
            report(1, 1, .tooLarge, "the file has more than \(Self.sizeLimit / 1024 / 1024) MiB")
            return nil
        }
        guard let root = compose(text) else { return nil }
        return convert(root, depth: 0)
    }

    private mutating func compose(_ original: String) -> Node? {
        var text = original
        for repeats in 0...Self.duplicateLimit {
            do {
                guard let root = try Yams.compose(yaml: text, .basic) else {
                    report(1, 1, .syntax, "the file is empty")
                    return nil
                }
                return root
            } catch YamlError.duplicatedKeysInMapping(let keys, let context) {
                // Report the repeat, hide it by changing one letter of its key, and read on: positions stay as they are.
                guard let key = keys.first, repeats < Self.duplicateLimit,
                    let place = DuplicateKey(key: key, first: context.mark.line, column: context.mark.column, in: text),
                    let mask = Unicode.Scalar(Self.maskBase + UInt32(repeats))
                else {
                    let names = keys.map { "\"\($0)\"" }.joined(separator: ", ")
                    report(context.mark.line, context.mark.column, .duplicateKey, "key \(names) is given twice")
                    return nil
                }
                report(
                    place.line, place.column, .duplicateKey,
                    "key \"\(key)\" is given twice; the first is in line \(context.mark.line)")
                text = place.masked(text, with: mask)
            } catch {
                report(error)
                return nil
            }
        }
        return nil
    }

    private mutating func convert(_ node: Node, depth: Int) -> DocumentNode? {
        let mark = Self.position(of: node)
        nodes += 1
        guard nodes <= Self.nodeLimit, depth <= Self.depthLimit else {
            if nodes <= Self.nodeLimit {
                report(mark.line, mark.column, .tooLarge, "nested deeper than \(Self.depthLimit) levels")
            } else if nodes == Self.nodeLimit + 1 {
                report(mark.line, mark.column, .tooLarge, "the file has more than \(Self.nodeLimit) values")
            }
            return nil
        }
        let content: DocumentNode.Content
        switch node {
        case .scalar(let scalar):
            content = .scalar(scalar.string, isPlain: scalar.style == .plain)
        case .sequence(let sequence):
            content = .sequence(sequence.compactMap { convert($0, depth: depth + 1) })
        case .mapping(let mapping):
            content = .mapping(mapping.compactMap { convertMember($0.key, $0.value, depth: depth + 1) })
        case .alias:
            report(mark.line, mark.column, .syntax, "an alias that names nothing")
            return nil
        }
        return DocumentNode(position: mark, content: content)
    }

    private mutating func convertMember(_ key: Node, _ value: Node, depth: Int) -> DocumentNode.Member? {
        let mark = Self.position(of: key)
        guard case .scalar(let scalar) = key else {
            report(mark.line, mark.column, .wrongType, "a key must be a word")
            return nil
        }
        if let first = scalar.string.unicodeScalars.first?.value,
            (Self.maskBase...Self.maskBase + UInt32(Self.duplicateLimit)).contains(first)
        {
            return nil
        }
        guard let converted = convert(value, depth: depth) else { return nil }
        return .init(key: scalar.string, keyPosition: mark, value: converted)
    }

    private static func position(of node: Node) -> DocumentNode.Position {
        .init(line: node.mark?.line ?? 1, column: node.mark?.column ?? 1)
    }

    private mutating func report(_ error: any Error) {
        switch error as? YamlError {
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
            .composer(let context, let problem, let mark, _):
            let where_ = context.map { " (\($0.text) in line \($0.mark.line))" } ?? ""
            report(mark.line, mark.column, .syntax, "not valid YAML: \(problem)\(where_)")
        case .reader(let problem, let offset, _, let yaml):
            let before = yaml.prefix(offset ?? 0).unicodeScalars
            let line = before.count { $0 == "\n" } + 1
            let column = before.count - (before.lastIndex(of: "\n").map { before[...$0].count } ?? 0) + 1
            report(line, column, .syntax, "not valid YAML: \(problem)")
        case .no, .memory, .writer, .emitter, .representer, .dataCouldNotBeDecoded, .duplicatedKeysInMapping, nil:
            report(1, 1, .syntax, "not valid YAML")
        }
    }

    private mutating func report(_ line: Int, _ column: Int, _ rule: TopologyProblem.Rule, _ message: String) {
        problems.append(TopologyProblem(line: line, column: column, rule: rule, message: message))
    }
}

/// Where a key stands for the second time in its mapping, found in the text because the library tells only of the first.
private struct DuplicateKey {
    let line: Int
    let column: Int

    /// Looks for the next `key:` after the first one: in a block mapping the next line with the key in the same column, in
    /// a flow mapping the next place in the same line.
    init?(key: String, first line: Int, column: Int, in text: String) {
        let lines = Self.lines(of: text)
        guard line >= 1, line <= lines.count else { return nil }
        let same = Array(lines[line - 1])
        for start in column..<max(column, same.count) where Self.hasKey(key, at: start, in: same) {
            let before = same[start - 1]
            if before == " " || before == "," || before == "{" {
                (self.line, self.column) = (line, start + 1)
                return
            }
        }
        for index in line..<max(line, lines.count) {
            let scalars = Array(lines[index])
            if Self.hasKey(key, at: column - 1, in: scalars), scalars[..<(column - 1)].allSatisfy({ $0 == " " }) {
                (self.line, self.column) = (index + 1, column)
                return
            }
        }
        return nil
    }

    func masked(_ text: String, with mask: Unicode.Scalar) -> String {
        var result = String.UnicodeScalarView()
        for (index, content) in Self.lines(of: text).enumerated() {
            if index > 0 { result.append("\n") }
            var scalars = Array(content)
            if index == line - 1 {
                let isQuoted = scalars[column - 1] == "\"" || scalars[column - 1] == "'"
                scalars[column - 1 + (isQuoted ? 1 : 0)] = mask
            }
            result.append(contentsOf: scalars)
        }
        return String(result)
    }

    private static func lines(of text: String) -> [Substring.UnicodeScalarView] {
        text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false)
    }

    private static func hasKey(_ key: String, at start: Int, in scalars: [Unicode.Scalar]) -> Bool {
        guard !key.isEmpty else { return false }
        for form in [key, "\"\(key)\"", "'\(key)'"] {
            let wanted = Array(form.unicodeScalars)
            let end = start + wanted.count
            guard end < scalars.count, Array(scalars[start..<end]) == wanted else { continue }
            if let next = scalars[end...].first(where: { $0 != " " }), next == ":" { return true }
        }
        return false
    }
}
