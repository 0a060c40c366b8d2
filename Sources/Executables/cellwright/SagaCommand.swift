import ArgumentParser
import CloudModel
import Deployer

struct SagaCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "saga",
        abstract: "What is being done to servers in every cell: show it, and decide what can't go on by itself.",
        subcommands: [List.self, Show.self, Retry.self, Abandon.self])

    struct List: CloudVerb {
        static let configuration = CommandConfiguration(
            abstract: "Show the sagas that are live or parked, oldest first.",
            discussion: """
                A parked one is neither done nor undone and waits for an operator. When a cell can't be asked, the rest is \
                shown, the cell is named on standard error, and the status is 4.
                """)

        @Option(help: "Only sagas of this cell and those below it.") var cell: CellArgument?
        @Option(help: ArgumentHelp("Only sagas in this state; may be repeated.", valueName: "state"))
        var state: [State] = []
        @Option(help: "Only sagas of this server: its id, or its name if only one has it.") var server: String?
        @Option(help: "Only sagas on this host.") var host: String?
        @Option(help: ArgumentHelp("Only sagas begun longer ago, such as 90s, 10m, 2h or 1d.", valueName: "age"))
        var olderThan: AgeArgument?
        @OptionGroup var common: CommonOptions

        func run(_ cells: CellsClient, session: DeploymentSession) async throws {
            let list = try await cells.sagas(
                SagaSelection(
                    cell: cell?.path, states: state.map(\.rawValue), server: server, host: host.map { HostName($0) },
                    olderThan: olderThan?.seconds))
            try show(list, SagaText.table(list))
            guard !list.cellsSilent.isEmpty else { return }
            for cell in list.cellsSilent { Console.error("cell \(cell.path) can't be asked: \(cell.reason)") }
            throw ExitCode.partial
        }
    }

    struct Show: CloudVerb {
        static let configuration = CommandConfiguration(
            abstract: "Show one saga: its steps, its log, where it works and who drives it.")

        @OptionGroup var saga: SagaArgument
        @OptionGroup var common: CommonOptions

        func run(_ cells: CellsClient, session: DeploymentSession) async throws {
            let report = try await cells.saga(saga.id)
            try show(report, SagaText.lines(report))
        }
    }

    struct Retry: CloudVerb {
        static let configuration = CommandConfiguration(
            abstract: "Have a parked saga go on at the step where it stood.",
            discussion: """
                It gets all its attempts anew, and parks again when they fail. It is refused (status 3) when the saga is \
                not parked, or when its server has gone on without it.
                """)

        @OptionGroup var saga: SagaArgument
        @OptionGroup var common: CommonOptions

        func run(_ cells: CellsClient, session: DeploymentSession) async throws {
            let report = try await cells.retry(try await cells.saga(saga.id))
            try show(report, SagaText.answer(retried: report))
        }
    }

    struct Abandon: CloudVerb {
        static let configuration = CommandConfiguration(
            abstract: "Give up a saga that is live or parked, and say what may be left over.",
            discussion: """
                Its server goes to ERROR with a fault; its user may delete it, or reboot it hard. Without --yes it only says \
                what would be left over (status 3). There is no way back.
                """)

        @OptionGroup var saga: SagaArgument
        @OptionGroup var why: ReasonOption
        @Flag(help: "Yes, whatever may be left over.") var yes = false
        @OptionGroup var common: CommonOptions

        func run(_ cells: CellsClient, session: DeploymentSession) async throws {
            let report = try await cells.saga(saga.id)
            guard yes else {
                throw CellsFailure.refused(
                    "this would give up \(report.name) of server \(report.serverId), which is \(report.state). "
                        + "\(report.remains) Say --yes to do it")
            }
            let ended = try await cells.abandon(report, reason: why.reason)
            try show(ended, SagaText.answer(abandoned: ended))
        }
    }

    enum State: String, ExpressibleByArgument, CaseIterable {
        case live, parked, abandoned, succeeded, failed, cancelled
    }
}

/// A saga's id.
struct SagaArgument: ParsableArguments {
    @Argument(help: "The saga's id, as `cellwright saga list` shows it.")
    var id: String
}

/// A time that has passed: a number with s, m, h or d behind it.
struct AgeArgument: ExpressibleByArgument {
    let seconds: Int

    init?(argument: String) {
        let units: [Character: Int] = ["s": 1, "m": 60, "h": 3600, "d": 86_400]
        guard let last = argument.last, let unit = units[last], let count = Int(argument.dropLast()), count >= 0,
            count <= 31_536_000 / unit
        else { return nil }
        seconds = count * unit
    }
}
