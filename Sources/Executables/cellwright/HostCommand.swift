import ArgumentParser
import CloudModel
import Deployer

struct HostCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "host", abstract: "The compute hosts of the cloud: show and close them.",
        subcommands: [List.self, Show.self, Drain.self, Disable.self, Enable.self])

    struct List: CloudVerb {
        static let configuration = CommandConfiguration(
            abstract: "Show every host with its cell, its servers and what it has.")

        @Option(help: "Only hosts of this cell.") var cell: CellArgument?
        @OptionGroup var common: CommonOptions

        func run(_ cells: CellsClient, session: DeploymentSession) async throws {
            if let cell { _ = try await cells.cell(cell.path) }
            let hosts = try await cells.hosts(of: cell?.path)
            try show(hosts, CellText.table(hosts))
        }
    }

    struct Show: CloudVerb {
        static let configuration = CommandConfiguration(abstract: "Show one host and the cell that it is in.")

        @Argument(help: "The host's name.") var host: String
        @OptionGroup var common: CommonOptions

        func run(_ cells: CellsClient, session: DeploymentSession) async throws {
            let report = try await cells.host(HostName(host))
            try show(report, CellText.lines(report))
        }
    }

    struct Drain: CloudVerb {
        static let configuration = CommandConfiguration(
            abstract: "Give a host no new servers from now on, and say what remains there.")

        @Argument(help: "The host's name.") var host: String
        @OptionGroup var why: ReasonOption
        @OptionGroup var common: CommonOptions

        func run(_ cells: CellsClient, session: DeploymentSession) async throws {
            let report = try await cells.order(.draining, reason: why.reason, of: HostName(host))
            try show(report, CellText.answer(report))
        }
    }

    struct Disable: CloudVerb {
        static let configuration = CommandConfiguration(
            abstract: "Give a host no new servers from now on; what is there is to stay.")

        @Argument(help: "The host's name.") var host: String
        @OptionGroup var why: ReasonOption
        @OptionGroup var common: CommonOptions

        func run(_ cells: CellsClient, session: DeploymentSession) async throws {
            let report = try await cells.order(.disabled, reason: why.reason, of: HostName(host))
            try show(report, CellText.answer(report))
        }
    }

    struct Enable: CloudVerb {
        static let configuration = CommandConfiguration(abstract: "Give a host new servers again.")

        @Argument(help: "The host's name.") var host: String
        @OptionGroup var common: CommonOptions

        func run(_ cells: CellsClient, session: DeploymentSession) async throws {
            let report = try await cells.order(.enabled, reason: nil, of: HostName(host))
            try show(report, CellText.answer(report))
        }
    }
}
