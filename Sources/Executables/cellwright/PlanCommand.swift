import ArgumentParser
import CloudModel
import Deployer
import Primitives
import ServiceKit
import Topology

struct PlanCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan", abstract: "Show what apply would do, and why; change nothing.",
        discussion: """
            Each line is an action with its class: "." no effect on what runs, "+" something new, "~" reload, "!" restart, \
            "-+" replace, "-" destroy. A plan that was saved with --out is applied with `cellwright apply FILE`, exactly \
            as it is or not at all.
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var losses: DataLossOptions

    @Option(name: .long, help: ArgumentHelp("Save the plan for apply.", valueName: "file"))
    var out: String?

    @Flag(help: "Exit with status 0 when there is no change, 2 when there are changes, 1 on any error.")
    var detailedExitcode = false

    func run() async throws {
        do {
            try await reportingErrors(json: common.isJSON) { try await show() }
        } catch let code as ExitCode where detailedExitcode && code != .changes {
            throw ExitCode.failed
        }
    }

    private func show() async throws {
        let session = try DeploymentSession(common) { Console.error($0) }
        let topology = session.settings.topology
        let isUnmade = try await session.isLabUnmade()
        if isUnmade, !common.isJSON {
            Console.error("The lab is not up (cellwright lab up): this is what a new one needs.")
        }
        let survey: Deployment.Survey
        if isUnmade {
            survey = Self.unmade(topology)
        } else if out != nil {
            survey = try await session.deployment.surveyToSave()
        } else {
            survey = try await session.deployment.survey()
        }
        let plan = survey.plan
        if common.isJSON {
            try Console.out(json: PlanDocument(plan, cloud: topology.name))
        } else {
            Console.out(String(PlanText(plan, cloud: topology.name).text.dropLast()))
        }
        if let out { try save(survey, topology, to: out, isUnmade: isUnmade) }
        guard plan.unknown.isEmpty else { throw ExitCode.failed }
        if detailedExitcode, !plan.isEmpty { throw ExitCode.changes }
    }

    private func save(
        _ survey: Deployment.Survey, _ topology: Topology, to path: String, isUnmade: Bool
    ) throws {
        guard !isUnmade else { throw UserError("a plan can only be saved once the lab's hosts are up") }
        try survey.plan.refuseLosses(except: losses.cells)
        let file = try PlanFile(
            survey.plan, topology: topology, desired: survey.desired, observed: survey.facts,
            madeAt: SystemWallClock().now(), tool: ProcessShell.version, allowDataLoss: losses.cells)
        try file.write(to: path)
        Console.error("Saved to \(path); cellwright apply \(path) does exactly this, or nothing.")
    }

    private static func unmade(_ topology: Topology) -> Deployment.Survey {
        let desired = DesiredState(topology, inputs: DesiredState.Inputs(binaries: [:], secrets: [:]))
        return Deployment.Survey(desired: desired, facts: ObservedFacts())
    }
}

/// What may be destroyed.
struct DataLossOptions: ParsableArguments {
    @Option(
        name: .long, parsing: .singleValue,
        help: ArgumentHelp(
            "A cell whose servers may be lost with it, such as /south; / for the root's data. May be repeated.",
            valueName: "cell"))
    var allowDataLoss: [String] = []

    var cells: Set<CellPath> { Set(allowDataLoss.compactMap(Self.path)) }

    func validate() throws {
        for text in allowDataLoss where Self.path(text) == nil {
            throw ValidationError("--allow-data-loss takes a cell's path, such as /south, not \"\(text)\"")
        }
    }

    /// `/eu/eu-1`, or without the first slash.
    private static func path(_ text: String) -> CellPath? { CellPath(text.hasPrefix("/") ? text : "/" + text) }
}
