import ArgumentParser
import Deployer

struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show the tree of cells with their processes, and what differs from the topology.")

    @OptionGroup var common: CommonOptions

    @Flag(help: "Exit with status 2 when something is not as it should be.")
    var detailedExitcode = false

    func run() async throws {
        try await reportingErrors(json: common.isJSON) {
            let session = try DeploymentSession(common) { Console.error($0) }
            if try await session.isLabUnmade() {
                throw UserError("the lab's hosts are not up; run `cellwright lab up` first")
            }
            let status = CloudStatus(
                topology: session.settings.topology, survey: try await session.deployment.survey())
            if common.isJSON {
                try Console.out(json: status)
            } else {
                for line in status.lines() { Console.out(line) }
            }
            if detailedExitcode, !status.isGood { throw ExitCode.changes }
        }
    }
}
