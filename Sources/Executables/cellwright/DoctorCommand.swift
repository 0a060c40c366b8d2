import ArgumentParser
import Deployer

struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Look for what is wrong with this machine and the cloud, and say how to mend each finding.",
        discussion: "It changes nothing. It exits with status 2 when it found something.")

    @OptionGroup var common: CommonOptions

    func run() async throws {
        try await reportingErrors(json: common.isJSON) {
            let session = try DeploymentSession(common) { Console.error($0) }
            if try await session.isLabUnmade() {
                throw UserError("the lab's hosts are not up; run `cellwright lab up` first")
            }
            let diagnosis = await session.deployment.diagnose()
            if common.isJSON {
                try Console.out(json: diagnosis)
            } else {
                for line in diagnosis.lines { Console.out(line) }
            }
            if !diagnosis.findings.isEmpty { throw ExitCode.changes }
        }
    }
}
