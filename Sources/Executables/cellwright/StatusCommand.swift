import ArgumentParser
import Deployer

struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show the tree of cells with health, servers, processes, and what differs from the topology.",
        discussion: """
            It shows what answers and says what does not, within a minute at most. With --watch it shows the cells every \
            few seconds and looks at the hosts every half minute, until Ctrl-C; with --output json each time is one line.
            """)

    /// Between two looks at the hosts of a status that goes on.
    private static let surveyInterval = Duration.seconds(30)

    @OptionGroup var common: CommonOptions

    @Flag(help: "Exit with status 2 when something is not as it should be.")
    var detailedExitcode = false

    @Flag(help: "Show it again and again.")
    var watch = false

    @Option(help: ArgumentHelp("Seconds between two times, with --watch.", valueName: "seconds"))
    var interval = 2

    func validate() throws {
        guard (1...3600).contains(interval) else { throw ValidationError("--interval must be from 1 to 3600") }
        if watch, detailedExitcode { throw ValidationError("--watch does not end, so it has no --detailed-exitcode") }
    }

    func run() async throws {
        try await reportingErrors(json: common.isJSON) {
            let session = try DeploymentSession(common) { Console.error($0) }
            if try await session.isLabUnmade() {
                throw UserError("the lab's hosts are not up; run `cellwright lab up` first")
            }
            guard watch else {
                let status = await session.deployment.status()
                try show(status)
                if detailedExitcode, !status.isGood { throw ExitCode.changes }
                return
            }
            try await untilInterrupted {
                try await session.deployment.watchStatus(
                    every: .seconds(interval), surveyEvery: Self.surveyInterval
                ) { status in
                    if !common.isJSON { Console.clear() }
                    try show(status)
                }
            }
        }
    }

    private func show(_ status: CloudStatus) throws {
        if common.isJSON { return try Console.out(json: status) }
        for line in status.lines() { Console.out(line) }
    }
}
