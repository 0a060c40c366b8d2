import FoundationEssentials
import Glibc

/// Lines of cost against number of cells: the number on a logarithmic scale, the cost from zero.
package struct SVGPlot: Sendable {
    package struct Series: Sendable {
        package var name: String
        package var points: [(cells: Double, cost: Double)]

        package init(name: String, points: [(cells: Double, cost: Double)]) {
            self.name = name
            self.points = points
        }
    }

    private static let width = 640.0
    private static let height = 360.0
    private static let left = 64.0
    private static let right = 24.0
    private static let top = 56.0
    private static let bottom = 48.0
    private static let colours = ["#1f6feb", "#d29922", "#2da44e", "#cf222e"]
    private static let gridLines = 4

    let title: String
    let unit: String
    let series: [Series]

    package init(title: String, unit: String, series: [Series]) {
        self.title = title
        self.unit = unit
        self.series = series
    }

    package var svg: String {
        var lines = [
            """
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(Self.text(Self.width)) \(Self.text(Self.height))" \
            font-family="sans-serif" font-size="12">
            """,
            #"<rect width="100%" height="100%" fill="white"/>"#,
            label(Self.escaped("\(title) (\(unit))"), Self.left, 20, size: 14),
        ]
        lines += grid + axis
        for (index, one) in series.enumerated() { lines += curve(one, index) }
        return (lines + ["</svg>", ""]).joined(separator: "\n")
    }

    // MARK: Scales

    private var counts: [Double] { Set(series.flatMap { $0.points.map(\.cells) }).sorted() }

    /// The top of the scale: the next of 1, 2, 5, 10, ... above the highest cost.
    private var ceiling: Double {
        let highest = max(series.flatMap { $0.points.map(\.cost) }.max() ?? 1, 0.001)
        var step = 0.001
        while true {
            for factor in [1.0, 2, 5] where step * factor >= highest { return step * factor }
            step *= 10
        }
    }

    private func x(_ cells: Double) -> Double {
        let first = log10(max(counts.first ?? 1, 1))
        let last = log10(max(counts.last ?? 1, 1))
        let part = last > first ? (log10(max(cells, 1)) - first) / (last - first) : 0.5
        return Self.left + part * (Self.width - Self.left - Self.right)
    }

    private func y(_ cost: Double) -> Double {
        Self.height - Self.bottom - cost / ceiling * (Self.height - Self.top - Self.bottom)
    }

    // MARK: Parts

    private var grid: [String] {
        (0...Self.gridLines).flatMap { index -> [String] in
            let cost = ceiling * Double(index) / Double(Self.gridLines)
            let height = Self.text(y(cost))
            return [
                """
                <line x1="\(Self.text(Self.left))" y1="\(height)" x2="\(Self.text(Self.width - Self.right))" \
                y2="\(height)" stroke="#d0d7de"/>
                """,
                label(Self.text(cost), Self.left - 8, y(cost) + 4, anchor: "end"),
            ]
        }
    }

    private var axis: [String] {
        counts.map { label(Self.text($0), x($0), Self.height - Self.bottom + 20, anchor: "middle") }
            + [label("leaf cells", Self.width / 2, Self.height - 10, anchor: "middle")]
    }

    private func curve(_ series: Series, _ index: Int) -> [String] {
        let colour = Self.colours[index % Self.colours.count]
        let points = series.points.sorted { $0.cells < $1.cells }
        let path = points.map { "\(Self.text(x($0.cells))),\(Self.text(y($0.cost)))" }.joined(separator: " ")
        let place = Self.left + Double(index) * 200
        return [#"<polyline points="\#(path)" fill="none" stroke="\#(colour)" stroke-width="2"/>"#]
            + points.map {
                #"<circle cx="\#(Self.text(x($0.cells)))" cy="\#(Self.text(y($0.cost)))" r="4" fill="\#(colour)"/>"#
            } + [
                #"<rect x="\#(Self.text(place))" y="30" width="12" height="12" fill="\#(colour)"/>"#,
                label(Self.escaped(series.name), place + 18, 40),
            ]
    }

    private func label(_ text: String, _ x: Double, _ y: Double, anchor: String = "start", size: Int = 12) -> String {
        """
        <text x="\(Self.text(x))" y="\(Self.text(y))" text-anchor="\(anchor)" font-size="\(size)">\(text)</text>
        """
    }

    private static func text(_ value: Double) -> String {
        let scaled = (value * 1000).rounded() / 1000
        return scaled == scaled.rounded() ? String(Int(scaled)) : "\(scaled)"
    }

    private static func escaped(_ text: String) -> String {
        text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
    }
}
