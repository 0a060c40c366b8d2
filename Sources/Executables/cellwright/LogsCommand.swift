import ArgumentParser
import Deployer
import Synchronization

struct LogsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "logs", abstract: "Show the logs of processes, from all hosts in order of time.",
        discussion: "With --output json each line is one object: time (microseconds since 1970), host, unit, message.")

    @Argument(help: "Cells, hosts, units, or kinds of process (api, supervisor, conductor, compute); all unless given.")
    var names: [String] = []

    @Flag(name: [.short, .long], help: "Go on with what is written from now on, until Ctrl-C.")
    var follow = false

    @Option(name: [.customShort("n"), .long], help: "Newest lines of each host, before what follows.")
    var lines = 100

    @Option(help: "Only what is newer, in journald's words: '10 min ago', today, '2026-11-23 06:00'.")
    var since: String?

    @OptionGroup var common: CommonOptions

    func validate() throws {
        guard (0...LogReader.lineLimit).contains(lines) else {
            throw ValidationError("--lines must be from 0 to \(LogReader.lineLimit)")
        }
    }

    func run() async throws {
        try await reportingErrors(json: common.isJSON) {
            let session = try DeploymentSession(common) { Console.error($0) }
            let isJSON = common.isJSON
            let wish = LogReader.Wish(lines: lines, since: since)
            let problems = Atomic<Int>(0)
            try await untilInterrupted {
                try await session.deployment.logs(names, wish, follows: follow) { line in
                    if isJSON { Console.outOrNothing(json: line) } else { Console.out(line.text) }
                } onProblem: { problem in
                    Console.error(problem)
                    problems.add(1, ordering: .relaxed)
                }
            }
            if problems.load(ordering: .relaxed) > 0 { throw ExitCode.failed }
        }
    }
}
