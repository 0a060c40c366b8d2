import Testing
import Topology

@Suite("Graphs of a topology")
struct TopologyGraphTests {
    @Test(
        "are drawn as approved, in every form",
        arguments: TopologyGraph.Form.allCases, ["topology.yaml", "Tests/Fixtures/everything.yaml"])
    func golden(_ form: TopologyGraph.Form, _ path: String) throws {
        let topology = try TopologyDocument.read(try RepositoryFiles.text(path), file: path).withLabAddresses()
        try RepositoryFiles.expectGolden(
            TopologyGraph(topology, hostLimit: 2).drawn(as: form),
            "Tests/Golden/graphs/\(topology.name).\(form.rawValue)")
    }

    @Test("many hosts are one box, and names that a language would read are quoted")
    func boxes() throws {
        let topology = try TopologyDocument.read(
            """
            apiVersion: cellwright/v1
            name: c
            hosts: [control-1]
            cells:
              - {name: n, hosts: ["h[001-100]"], defaults: {labels: {row: "a\\"<b>\\\\"}, availabilityZone: z}}
            """, file: "t")
        let graph = TopologyGraph(topology)
        #expect(graph.drawn(as: .text).contains("100 hosts: h001 ... h100  (zone z, row=a\"<b>\\)"))
        #expect(graph.drawn(as: .dot).contains("\"100 hosts\\nh001 ... h100\\nzone z\\nrow=a\\\"<b>\\\\\""))
        #expect(graph.drawn(as: .mermaid).contains("row=a&quot;&lt;b&gt;\\\"]"))
        #expect(TopologyGraph(topology, hostLimit: 100).drawn(as: .text).contains("└─ h100"))
    }
}
