import ArgumentParser
import ServiceKit

@main
struct SupervisorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cellwright-supervisor", abstract: "Owns one cell: the root, a branch or a leaf.",
        version: ProcessShell.version, subcommands: [Run.self, Migrate.self, CellCommand.self, HostCommand.self],
        defaultSubcommand: Run.self)
}

/// What every subcommand needs.
struct SettingsOption: ParsableArguments {
    @Option(help: "The settings file that `cellwright apply` wrote.")
    var config: String

    func load() throws -> SupervisorSettings { try SettingsFile.load(SupervisorSettings.self, from: config) }
}

struct Run: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Serve the cell until told to stop.")

    @OptionGroup var settings: SettingsOption

    func run() async throws { try await SupervisorProcess(settings: try settings.load()).run() }
}
