import ArgumentParser
import Deployer
import Topology

struct GraphCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "graph", abstract: "Draw the cells, servers and hosts of a topology file; ask no host.",
        discussion: "cellwright graph --as dot | dot -Tsvg > cloud.svg")

    private struct Drawing: Encodable {
        var form: String
        var graph: String
    }

    @OptionGroup var common: CommonOptions

    @Option(name: .customLong("as"), help: "A tree of text, Graphviz or Mermaid.")
    var form = TopologyGraph.Form.text

    @Option(name: .long, help: "Draw a cell's hosts one by one up to this many, and more as one box.")
    var hosts = TopologyGraph.hostLimit

    func validate() throws {
        guard (0...10_000).contains(hosts) else { throw ValidationError("--hosts must be from 0 to 10000") }
    }

    func run() async throws {
        try await reportingErrors(json: common.isJSON) {
            let loaded = try LoadedTopology(path: common.topology)
            let state = "\(loaded.folder)/\(DeploymentSettings.stateFolderName)"
            let addresses = try DeploymentSettings.labAddresses(stateFolder: state)
            let topology = loaded.topology.withLabAddresses(existing: addresses)
            let text = TopologyGraph(topology, hostLimit: hosts).drawn(as: form)
            if common.isJSON {
                try Console.out(json: Drawing(form: form.rawValue, graph: text))
            } else {
                Console.out(String(text.dropLast()))
            }
        }
    }
}

extension TopologyGraph.Form: ExpressibleByArgument {}
