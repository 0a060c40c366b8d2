/// Text as one word of a POSIX shell.
package enum ShellQuoting {
    private static let plain = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-")

    /// `text` in single quotes unless it needs none.
    package static func quoted(_ text: String) -> String {
        if !text.isEmpty, text.allSatisfy(plain.contains) { return text }
        return "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: #"'\''"#) + "'"
    }
}

extension StringProtocol {
    /// Without white space and line feeds at both ends.
    var trimmed: String {
        var rest = self[...]
        while let first = rest.first, first.isWhitespace { rest = rest.dropFirst() }
        while let last = rest.last, last.isWhitespace { rest = rest.dropLast() }
        return String(rest)
    }

    /// Its lines without their line feeds; no empty last one.
    var lines: [String] {
        var parts = String(self).split(separator: "\n", omittingEmptySubsequences: false).map { String($0) }
        if parts.last?.isEmpty == true { parts.removeLast() }
        return parts
    }
}
