import ArgumentParser
import ServiceKit

@main
struct APICommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cellwright-api", abstract: "Answers the REST APIs of a cloud.", version: ProcessShell.version,
        subcommands: [Run.self, Bootstrap.self], defaultSubcommand: Run.self)
}

/// What every subcommand needs.
struct SettingsOption: ParsableArguments {
    @Option(help: "The settings file that `cellwright apply` wrote.")
    var config: String

    func load() throws -> APISettings { try SettingsFile.load(APISettings.self, from: config) }
}

struct Run: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Serve until told to stop.")

    @OptionGroup var settings: SettingsOption

    func run() async throws { try await APIProcess(settings: try settings.load()).run() }
}
