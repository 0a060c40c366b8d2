import ArgumentParser
import Topology

struct ValidateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "validate", abstract: "Check a topology file; change nothing and ask no host.")

    private struct Summary: Encodable {
        var valid = true
        var cloud: String
        var cells: Int
        var hosts: Int
    }

    @OptionGroup var common: CommonOptions

    func run() async throws {
        try await reportingErrors(json: common.isJSON) {
            let topology = try LoadedTopology(path: common.topology).topology
            let summary = Summary(cloud: topology.name, cells: topology.cells.count, hosts: topology.hosts.count)
            if common.isJSON {
                try Console.out(json: summary)
            } else {
                Console.out(
                    "\(common.topology) is valid: cloud \(summary.cloud), \(summary.cells) cells with the root, "
                        + "\(summary.hosts) hosts")
            }
        }
    }
}
