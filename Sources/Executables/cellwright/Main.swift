import ArgumentParser
import ServiceKit

@main
struct Cellwright: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cellwright",
        abstract: "Makes an OpenStack-compatible cloud from a topology file, and grows it.",
        discussion: """
            Exit status: 0 done, 1 failed, 2 changes are to be made (plan --detailed-exitcode), 64 wrong usage, \
            65 the topology file has mistakes.
            """,
        version: ProcessShell.version,
        subcommands: [
            ValidateCommand.self, GraphCommand.self, PlanCommand.self, ApplyCommand.self, StatusCommand.self,
            DestroyCommand.self, CellCommand.self, HostCommand.self, ServerCommand.self, SagaCommand.self,
            LogsCommand.self, DoctorCommand.self, RotateCommand.self, LabCommand.self, DevCommand.self,
            SimulateCommand.self,
            UpgradeCommand.self,
        ])
}
