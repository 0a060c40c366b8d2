import Simulation
import Testing

@Suite struct SVGPlotTests {
    private static func points(_ costs: [Double]) -> [(cells: Double, cost: Double)] {
        zip([1.0, 10, 100, 1000], costs).map { ($0, $1) }
    }

    @Test("a plot is a document with a line, a mark for each point and the series' names")
    func document() {
        let svg = SVGPlot(
            title: "Cost & <use>", unit: "ms",
            series: [
                .init(name: "few", points: Self.points([1, 2, 3, 4])),
                .init(name: "many", points: Self.points([4, 3, 2, 1])),
            ]
        ).svg
        #expect(svg.hasPrefix("<svg xmlns=\"http://www.w3.org/2000/svg\""))
        #expect(svg.hasSuffix("</svg>\n"))
        #expect(svg.components(of: "<polyline") == 2)
        #expect(svg.components(of: "<circle") == 8)
        #expect(svg.contains("Cost &amp; &lt;use&gt; (ms)"))
        #expect(svg.contains(">many</text>"))
    }

    @Test("equal costs stand at one height, whatever the number of cells, and numbers of cells are a decade apart")
    func scales() {
        let svg = SVGPlot(title: "t", unit: "u", series: [.init(name: "s", points: Self.points([3, 3, 3, 3]))]).svg
        #expect(svg.contains("points=\"64,158.4 248,158.4 432,158.4 616,158.4\""))
    }

    @Test("one run alone is drawn too")
    func single() {
        let svg = SVGPlot(title: "t", unit: "u", series: [.init(name: "s", points: [(3, 0)])]).svg
        #expect(svg.components(of: "<circle") == 1)
        #expect(!svg.contains("nan"))
    }
}

extension String {
    fileprivate func components(of text: String) -> Int { ranges(of: text).count }
}
