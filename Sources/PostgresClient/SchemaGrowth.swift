/// Tells whether a migration only adds to a schema, so that programs that do not know it go on reading and writing: what lets
/// two releases share a database during an upgrade.
///
/// It looks at the words of each statement, so it is no proof: it finds the ways in which a migration usually breaks.
package enum SchemaGrowth {
    /// What of a migration a program of the release before can't live with; empty when it only adds.
    /// - Parameter tables: those that were there before, as statements name them.
    package static func findings(in migration: Migration, after tables: Set<String>) -> [String] {
        migration.statements.compactMap { statement in
            let words = words(of: statement)
            return reason(words, after: tables).map { "\($0): \(words.prefix(8).joined(separator: " "))" }
        }
    }

    /// Tables that a migration makes.
    package static func tables(of migration: Migration) -> Set<String> {
        Set(
            migration.statements.compactMap { statement in
                let words = words(of: statement)
                guard words.starts(with: ["create", "table"]), words.count > 2 else { return nil }
                return words[2] == "if" && words.count > 5 ? words[5] : words[2]
            })
    }

    private static func reason(_ words: [String], after tables: Set<String>) -> String? {
        switch words.first {
        case "drop": return words.dropFirst().first == "index" ? nil : "something goes"
        case "truncate", "delete": return "rows go"
        case "create":
            guard words.starts(with: ["create", "unique", "index"]), let on = words.firstIndex(of: "on") else {
                return nil
            }
            return words.dropFirst(on + 1).first.map(tables.contains) == true ? "rows must be unique now" : nil
        case "alter": return alteration(words)
        default: return nil
        }
    }

    private static func alteration(_ words: [String]) -> String? {
        for clause in clauses(words) {
            if clause.contains("rename") { return "a name changes" }
            if clause.contains("type") && clause.contains("alter") { return "a type changes" }
            if has(clause, ["set", "not", "null"]) { return "a column must be filled now" }
            if has(clause, ["add", "constraint"]) { return "rows must obey a new rule" }
            if let drop = clause.firstIndex(of: "drop") {
                switch clause.dropFirst(drop + 1).first {
                case "constraint", "default": continue
                // A rule that rows need not obey any more, such as NOT NULL.
                case "not": continue
                default: return "something goes"
                }
            }
            if clause.contains("add"), has(clause, ["not", "null"]), !clause.contains("default") {
                return "a new column must be filled"
            }
        }
        return nil
    }

    /// The parts of an `alter table`, cut at commas outside of parentheses.
    private static func clauses(_ words: [String]) -> [[String]] {
        var clauses: [[String]] = [[]]
        var depth = 0
        for word in words {
            if word == "(" { depth += 1 }
            if word == ")" { depth -= 1 }
            if word == ",", depth == 0 {
                clauses.append([])
            } else if depth == 0 {
                clauses[clauses.count - 1].append(word)
            }
        }
        return clauses
    }

    private static func has(_ words: [String], _ sequence: [String]) -> Bool {
        guard words.count >= sequence.count else { return false }
        return (0...(words.count - sequence.count)).contains { words[$0...].starts(with: sequence) }
    }

    /// Lower-case words; parentheses and commas stand alone.
    private static func words(of statement: String) -> [String] {
        var text = ""
        for character in statement.lowercased() {
            switch character {
            case "(", ")", ",", ";": text += " \(character) "
            case _ where character.isWhitespace: text += " "
            default: text.append(character)
            }
        }
        return text.split(separator: " ").map(String.init)
    }
}
