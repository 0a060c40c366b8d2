import ArgumentParser
import Deployer

struct ServerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "server", abstract: "Servers as operators ask for them.", subcommands: [Locate.self])

    struct Locate: CloudVerb {
        static let configuration = CommandConfiguration(
            abstract: "Say in which cell and on which host a server is, and how it got there.")

        @Argument(help: "The server's id, or its name if only one has it.") var server: String
        @OptionGroup var common: CommonOptions

        func run(_ cells: CellsClient, session: DeploymentSession) async throws {
            let report = try await cells.server(server)
            try show(report, CellText.lines(report))
        }
    }
}
