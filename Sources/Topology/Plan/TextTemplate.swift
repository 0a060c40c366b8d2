/// A text with places in which something else stands for each host.
struct TextTemplate: Sendable {
    enum Piece: Sendable {
        case literal(String)
        case slot(Int)

        func text(_ values: [String]) -> String {
            switch self {
            case .literal(let text): text
            case .slot(let slot): values[slot]
            }
        }
    }

    let pieces: [Piece]

    /// - Parameter marks: texts that stand for what changes, by slot; none is empty. Of two that fit, the first counts.
    init(_ text: String, marks: [String]) {
        let marks = marks.map { Array($0.utf8) }
        var text = text
        pieces = text.withUTF8 { Self.pieces(of: $0, marks: marks) } ?? [.literal(text)]
    }

    /// `nil` when no mark is in it.
    private static func pieces(of text: UnsafeBufferPointer<UInt8>, marks: [[UInt8]]) -> [Piece]? {
        var pieces: [Piece] = []
        var start = 0
        var position = 0
        while position < text.count {
            let byte = text[position]
            guard let slot = marks.firstIndex(where: { $0[0] == byte && text[position...].starts(with: $0) }) else {
                position += 1
                continue
            }
            if start < position {
                pieces.append(.literal(String(decoding: text[start..<position], as: UTF8.self)))
            }
            pieces.append(.slot(slot))
            position += marks[slot].count
            start = position
        }
        guard !pieces.isEmpty else { return nil }
        if start < text.count { pieces.append(.literal(String(decoding: text[start...], as: UTF8.self))) }
        return pieces
    }

    var isConstant: Bool {
        pieces.allSatisfy { if case .literal = $0 { true } else { false } }
    }

    /// The text with `values` in the slots.
    func text(_ values: [String]) -> String {
        pieces.count == 1 ? pieces[0].text(values) : pieces.reduce(into: "") { $0 += $1.text(values) }
    }
}
