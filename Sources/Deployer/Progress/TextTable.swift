/// Columns of text for a terminal: as wide as they must be, two spaces between, nothing at the end of a line.
package struct TextTable: Sendable {
    package enum Side: Sendable { case left, right }

    private let header: [String]
    private let sides: [Side]
    private var rows: [[String]] = []

    /// - Parameter columns: headings with the side that their column's text stands on.
    package init(_ columns: [(String, Side)]) {
        header = columns.map(\.0)
        sides = columns.map(\.1)
    }

    /// - Parameter cells: one for each column; nil shows a dash.
    package mutating func add(_ cells: [String?]) {
        precondition(cells.count == header.count, "a row has as many cells as the table has columns")
        rows.append(cells.map { $0 ?? "-" })
    }

    package var lines: [String] {
        let all = [header] + rows
        let widths = header.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
        return all.map { row in
            var line = ""
            for (column, text) in row.enumerated() {
                let padding = String(repeating: " ", count: widths[column] - text.count)
                line += (column == 0 ? "" : "  ") + (sides[column] == .right ? padding + text : text + padding)
            }
            while line.last == " " { line.removeLast() }
            return line
        }
    }
}
