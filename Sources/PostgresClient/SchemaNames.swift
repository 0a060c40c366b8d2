/// What a program's schemas are called in a database that holds those of several programs: each has a prefix before its name.
///
/// The program's statements stay as they are. In the text that the server is sent, a schema's name gets its prefix where it
/// qualifies another (`cell.instances`) and after the word `schema`; not within quotes of either kind. What else a database
/// has one of, such as notifications' channels and advisory locks, its programs share.
package struct SchemaNames: Sendable, Hashable {
    package let schemas: Set<String>
    package let prefix: String

    /// - Parameters:
    ///   - schemas: as statements write them, in small letters.
    ///   - prefix: of small letters, digits and `_`.
    package init(_ schemas: Set<String>, prefix: String) {
        self.schemas = schemas
        self.prefix = prefix
    }

    /// As the database has it.
    func name(of schema: String) -> String { schemas.contains(schema) ? prefix + schema : schema }

    func renamed(in sql: String) -> String {
        var result = ""
        var rest = sql.utf8[...]
        var lastWord: Substring = ""
        while let first = rest.first {
            let piece = Self.piece(of: rest, first)
            rest = rest[piece.endIndex...]
            if Self.isOfAWord(first) {
                let word = Substring(piece)
                let isQualifier = rest.first == UInt8(ascii: ".") && result.utf8.last != UInt8(ascii: ".")
                if isQualifier || lastWord == "schema", schemas.contains(String(word)) { result += prefix }
                lastWord = word
            }
            result += Substring(piece)
        }
        return result
    }

    /// The word, the quoted text or the rest between them that `text` begins with. A doubled quote ends one quoted text and
    /// begins another, which comes to the same.
    private static func piece(of text: Substring.UTF8View, _ first: UInt8) -> Substring.UTF8View {
        if isQuote(first) {
            guard let end = text.dropFirst().firstIndex(of: first) else { return text }
            return text[...end]
        }
        return isOfAWord(first) ? text.prefix { isOfAWord($0) } : text.prefix { !isOfAWord($0) && !isQuote($0) }
    }

    private static func isQuote(_ byte: UInt8) -> Bool { byte == UInt8(ascii: "'") || byte == UInt8(ascii: "\"") }

    private static func isOfAWord(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), 0x80...:
            true
        default: false
        }
    }
}
