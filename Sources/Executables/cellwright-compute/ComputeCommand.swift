import ArgumentParser
import BusSetup
import CloudModel
import ComputeAgent
import FoundationEssentials
import HypervisorDriver
import Logging
import Primitives
import ServiceKit

@main
struct ComputeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cellwright-compute", abstract: "The agent of a compute host.", version: ProcessShell.version)

    @Option(help: "The settings file that `cellwright apply` wrote.")
    var config: String

    func run() async throws {
        let settings = try SettingsFile.load(ComputeSettings.self, from: config)
        let shell = ProcessShell(
            service: "cellwright-compute", fixed: ["host": "\(settings.host)", "cell": "\(settings.cell)"])
        let folder = URL(filePath: config).deletingLastPathComponent().path
        try await ComputeProcess(settings: settings, folder: folder, shell: shell).run()
    }
}
