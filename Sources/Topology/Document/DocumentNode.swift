/// A piece of the file with its place: what the checks read, free of the YAML library.
struct DocumentNode: Sendable {
    struct Position: Sendable, Hashable {
        var line: Int
        var column: Int
    }

    struct Member: Sendable {
        let key: String
        let keyPosition: Position
        let value: DocumentNode
    }

    enum Content: Sendable {
        /// `isPlain` when it was not quoted, so that `1` is a number and `"1"` a text.
        case scalar(String, isPlain: Bool)
        case mapping([Member])
        case sequence([DocumentNode])
    }

    /// What a scalar or collection is, as the JSON Schema sees it.
    enum Kind: String, Sendable {
        case null = "nothing"
        case text
        case integer = "an integer"
        case number = "a number"
        case boolean = "true or false"
        case mapping = "a mapping"
        case sequence = "a list"
    }

    let position: Position
    let content: Content

    var kind: Kind {
        switch content {
        case .mapping: .mapping
        case .sequence: .sequence
        case .scalar(_, isPlain: false): .text
        case .scalar(let text, isPlain: true): Self.kind(ofPlain: text)
        }
    }

    /// The text of a scalar that is a text; `nil` otherwise.
    var text: String? {
        guard case .scalar(let text, _) = content, kind == .text else { return nil }
        return text
    }

    var integer: Int? {
        guard case .scalar(let text, _) = content, kind == .integer else { return nil }
        return Int(text)
    }

    var boolean: Bool? {
        guard case .scalar(let text, _) = content, kind == .boolean else { return nil }
        return text.lowercased() == "true"
    }

    /// Items of a list; empty for anything else.
    var items: [DocumentNode] {
        guard case .sequence(let items) = content else { return [] }
        return items
    }

    /// Members of a mapping; empty for anything else.
    var members: [Member] {
        guard case .mapping(let members) = content else { return [] }
        return members
    }

    subscript(key: TopologyKey) -> DocumentNode? { members.first { $0.key == key.rawValue }?.value }

    private static func kind(ofPlain text: String) -> Kind {
        switch text {
        case "", "~", "null", "Null", "NULL": return .null
        case "true", "True", "TRUE", "false", "False", "FALSE": return .boolean
        default: break
        }
        var digits = text[...]
        if let sign = digits.first, sign == "-" || sign == "+" { digits = digits.dropFirst() }
        guard let first = digits.first, first.isASCIIDigit || first == "." else { return .text }
        if digits.allSatisfy(\.isASCIIDigit) { return .integer }
        return Double(text) == nil ? .text : .number
    }
}
