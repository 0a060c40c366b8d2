/// A topic exchange's binding pattern: words between dots, `*` for exactly one word, `#` for any number of words.
package struct TopicPattern: Sendable, Hashable {
    private let words: [Substring]

    package init(_ pattern: String) {
        words = pattern.split(separator: ".", omittingEmptySubsequences: false)
    }

    package func matches(_ routingKey: String) -> Bool {
        let key = routingKey.isEmpty ? [] : routingKey.split(separator: ".", omittingEmptySubsequences: false)
        // Greedy with one point to come back to: the last `#` may take one more word.
        var position = 0
        var next = 0
        var comeBack: (word: Int, key: Int)?
        while next < key.count {
            if position < words.count, words[position] == "#" {
                comeBack = (position, next)
                position += 1
            } else if position < words.count, words[position] == "*" || words[position] == key[next] {
                position += 1
                next += 1
            } else if let point = comeBack {
                comeBack = (point.word, point.key + 1)
                position = point.word + 1
                next = point.key + 1
            } else {
                return false
            }
        }
        return words[position...].allSatisfy { $0 == "#" } || (key.isEmpty && words == [""])
    }
}
