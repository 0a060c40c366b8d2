import ArgumentParser
import CloudModel
import Deployer

struct UpgradeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "upgrade", abstract: "Bring new executables to the cloud, cell by cell.",
        discussion: """
            The executables are those beside this tool. The canary cell comes first, the root with the API last. Each cell \
            must answer, be heard at the root with the new version, and go on answering before the next one is touched; \
            one that does not gets its previous executables back, and the upgrade ends there. Ctrl-C stops it between two \
            cells. It may be run again at any time, also to go back: with the tool of the release before.
            """)

    @OptionGroup var common: CommonOptions

    @Option(help: ArgumentHelp("The cell to begin with. The first one that has hosts unless given.", valueName: "cell"))
    var canary: String?

    func run() async throws {
        try await reportingErrors(json: common.isJSON) {
            let session = try DeploymentSession(common, isLive: true) { Console.out($0) }
            let path = try canary.map { text in
                guard let path = CellPath(text) else { throw UserError("\(text) is not a cell such as /north") }
                return path
            }
            let deployment = session.deployment
            let report = try await stoppable(reporter: session.reporter) {
                try await deployment.upgrade(canary: path, stop: $0)
            }
            if common.isJSON {
                try Console.out(json: report)
            } else if report.cells.isEmpty {
                Console.out("Every cell runs these executables already.")
            } else {
                Console.out("Upgraded in \(report.seconds) s: \(report.cells.joined(separator: ", ")).")
            }
        }
    }
}

extension UpgradeFailure {
    var exitCode: ExitCode {
        switch ending {
        case .refused: .refused
        case .stopped: .partial
        case .rolledBack, .stuck: upgraded.isEmpty ? .failed : .partial
        }
    }
}
