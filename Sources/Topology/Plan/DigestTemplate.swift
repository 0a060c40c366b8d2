import Crypto

/// The ``ContentDigest`` of something in which something else stands for each host. What comes before the first of that is
/// digested once for all hosts.
struct DigestTemplate: Sendable {
    private enum Piece: Sendable {
        case literal(String)
        case slot(Int)
        /// So many bytes and those of these slots, in decimal.
        case count(Int, slots: [Int])
    }

    private var start = SHA256()
    private var rest: [Piece] = []

    /// The digest of a text.
    init(_ text: TextTemplate) {
        for piece in text.pieces { append(piece) }
    }

    /// One digest of several parts.
    /// - Parameter parts: sorted by name.
    init(parts: [(name: String, value: TextTemplate)]) {
        for (name, value) in parts {
            append(.literal(ContentDigest.head(name)))
            append(countOf: value.pieces)
            append(.literal(ContentDigest.middle))
            for piece in value.pieces { append(piece) }
            append(.literal(ContentDigest.tail))
        }
    }

    private mutating func append(countOf pieces: [TextTemplate.Piece]) {
        var (bytes, slots): (Int, [Int]) = (0, [])
        for piece in pieces {
            switch piece {
            case .literal(let text): bytes += text.utf8.count
            case .slot(let slot): slots.append(slot)
            }
        }
        if slots.isEmpty { append(.literal("\(bytes)")) } else { rest.append(.count(bytes, slots: slots)) }
    }

    private mutating func append(_ piece: TextTemplate.Piece) {
        switch (piece, rest.last) {
        case (.slot(let slot), _): rest.append(.slot(slot))
        case (.literal(let text), nil): start.update(text)
        case (.literal(let text), .literal(let before)): rest[rest.count - 1] = .literal(before + text)
        case (.literal(let text), _): rest.append(.literal(text))
        }
    }

    /// The digest with `values` in the slots.
    func text(_ values: [String]) -> String {
        var hash = start
        for piece in rest {
            switch piece {
            case .literal(let text): hash.update(text)
            case .slot(let slot): hash.update(values[slot])
            case .count(let bytes, let slots): hash.update("\(slots.reduce(bytes) { $0 + values[$1].utf8.count })")
            }
        }
        return ContentDigest.hex(hash.finalize())
    }
}
