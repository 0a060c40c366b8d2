/// A text with places in which something else stands for each host.
struct TextTemplate: Sendable {
    private enum Piece: Sendable {
        case literal(String)
        case slot(Int)
    }

    private var pieces: [Piece] = []

    /// - Parameter marks: texts that stand for what changes, by slot; none is empty.
    init(_ text: String, marks: [String]) {
        var rest = text[...]
        while true {
            var next: (range: Range<Substring.Index>, slot: Int)?
            for (slot, mark) in marks.enumerated() where !mark.isEmpty {
                guard let range = rest.firstRange(of: mark) else { continue }
                if next.map({ range.lowerBound < $0.range.lowerBound }) ?? true { next = (range, slot) }
            }
            guard let (range, slot) = next else { break }
            if range.lowerBound > rest.startIndex { pieces.append(.literal(String(rest[..<range.lowerBound]))) }
            pieces.append(.slot(slot))
            rest = rest[range.upperBound...]
        }
        if !rest.isEmpty || pieces.isEmpty { pieces.append(.literal(String(rest))) }
    }

    var isConstant: Bool {
        pieces.allSatisfy { if case .literal = $0 { true } else { false } }
    }

    /// The text with `values` in the slots.
    func text(_ values: [String]) -> String {
        if pieces.count == 1, case .literal(let text) = pieces[0] { return text }
        var text = ""
        for piece in pieces {
            switch piece {
            case .literal(let literal): text += literal
            case .slot(let slot): text += values[slot]
            }
        }
        return text
    }
}
