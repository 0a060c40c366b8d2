import ArgumentParser
import Deployer
import Topology

struct PlanCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan", abstract: "Show what apply would do, and why; change nothing.")

    @OptionGroup var common: CommonOptions

    @Flag(help: "Exit with status 2 when there are changes.")
    var detailedExitcode = false

    func run() async throws {
        try await reportingErrors(json: common.isJSON) {
            let session = try DeploymentSession(common) { Console.error($0) }
            let cloud = session.settings.topology.name
            let plan = try await plan(session)
            if common.isJSON {
                try Console.out(json: PlanDocument(plan, cloud: cloud))
            } else {
                Console.out(String(PlanText(plan, cloud: cloud).text.dropLast()))
            }
            guard plan.unknown.isEmpty else { throw ExitCode.failed }
            if detailedExitcode, !plan.isEmpty { throw ExitCode.changes }
        }
    }

    private func plan(_ session: DeploymentSession) async throws -> Plan {
        guard try await session.isLabUnmade() else { return try await session.deployment.survey().plan }
        if !common.isJSON { Console.error("The lab is not up (cellwright lab up): this is what a new one needs.") }
        let inputs = DesiredState.Inputs(binaries: [:], secrets: [:])
        return Plan(desired: try DesiredState(session.settings.topology, inputs: inputs), observed: ObservedFacts())
    }
}
