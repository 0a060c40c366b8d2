/// Judges IPv6 text. Nothing here routes IPv6 yet; users may still note such an address.
enum IPv6Text {
    static func isAddress(_ text: String) -> Bool {
        guard text.utf8.allSatisfy(isCharacter) else { return false }
        let halves = parts(of: text, around: "::")
        guard halves.count <= 2 else { return false }
        let counts = halves.map(groups)
        guard !counts.contains(nil) else { return false }
        let total = counts.compactMap(\.self).reduce(0, +)
        return halves.count == 2 ? total <= 7 : total == 8
    }

    /// How many 16-bit groups the text has; nil when it is malformed. A dotted tail counts for two.
    private static func groups(_ text: Substring) -> Int? {
        if text.isEmpty { return 0 }
        let words = text.split(separator: ":", omittingEmptySubsequences: false)
        var count = 0
        for (index, word) in words.enumerated() {
            if word.contains(".") {
                guard index == words.count - 1, isDotted(word) else { return nil }
                count += 2
            } else {
                guard (1...4).contains(word.utf8.count), UInt16(word, radix: 16) != nil else { return nil }
                count += 1
            }
        }
        return count
    }

    private static func isDotted(_ text: Substring) -> Bool {
        let bytes = text.split(separator: ".", omittingEmptySubsequences: false)
        return bytes.count == 4 && bytes.allSatisfy { (1...3).contains($0.utf8.count) && UInt8($0) != nil }
    }

    private static func isCharacter(_ byte: UInt8) -> Bool {
        Character(Unicode.Scalar(byte)).isHexDigit || byte == UInt8(ascii: ":") || byte == UInt8(ascii: ".")
    }

    private static func parts(of text: String, around separator: String) -> [Substring] {
        var parts: [Substring] = []
        var start = text.startIndex
        var index = text.startIndex
        while index < text.endIndex {
            if text[index...].hasPrefix(separator) {
                parts.append(text[start..<index])
                index = text.index(index, offsetBy: separator.count)
                start = index
            } else {
                index = text.index(after: index)
            }
        }
        return parts + [text[start...]]
    }
}
