import ArgumentParser
import CloudModel
import Deployer
import Topology

extension CellCommand {
    struct Retire: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Remove a cell that has no servers, with everything of it on its hosts.",
            discussion: """
                Take the cell out of the topology first; the tool remembers from the last apply where it was. A cell \
                that is still in the topology needs --yes, and the next apply would make it anew. It is refused while \
                servers remain (status 3). What was cut off goes on when it is asked for again.
                """)

        @Argument(help: "The cell's path, such as /north.") var cell: CellArgument
        @Flag(help: "Also when the topology still has the cell.") var yes = false
        @OptionGroup var common: CommonOptions

        func run() async throws {
            try await reportingErrors(json: common.isJSON) {
                let session = try DeploymentSession(common) { Console.error($0) }
                let isNamed = session.settings.topology.cell(cell.path) != nil
                if isNamed, !yes {
                    throw CellsFailure.refused(
                        "\(common.topology) still has cell \(cell.path): take it out first, or say --yes; "
                            + "the next `cellwright apply` would make it anew")
                }
                let deployment = isNamed ? session.deployment : try previous(session)
                let path = cell.path
                let result = try await stoppable(reporter: session.reporter) {
                    try await deployment.retire(path, stop: $0)
                }
                try deployment.forgetApplied(path)
                if common.isJSON { return try Console.out(json: result) }
                Console.out("Cell \(path) is gone: its mapping, processes, database, role, virtual host and users.")
                if !result.freeHosts.isEmpty {
                    Console.out("Nothing uses these hosts any more: \(result.freeHosts.joined(separator: ", ")).")
                }
                if isNamed {
                    Console.out("\(common.topology) still has it: take it out, or the next apply makes it anew.")
                }
            }
        }

        /// The deployment as it was applied last, for a cell that the topology no longer has.
        private func previous(_ session: DeploymentSession) throws -> Deployment {
            guard let applied = try session.settings.appliedTopology(), applied.cell(cell.path) != nil else {
                let known = session.settings.topology.cells.map(\.path.description)
                throw CellsFailure.unknown(
                    "cell \(cell.path) in \(common.topology) or in what was applied last",
                    nearest: NearestName.of(cell.path.description, among: known))
            }
            var settings = session.settings
            settings.topology = applied
            return session.deployment.with(settings)
        }
    }
}
