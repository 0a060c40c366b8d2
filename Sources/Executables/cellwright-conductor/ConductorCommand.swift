import ArgumentParser
import BusSetup
import CloudModel
import Conductor
import DatabaseSetup
import Logging
import MessageBus
import Persistence
import PostgresClient
import Primitives
import ServiceKit

@main
struct ConductorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cellwright-conductor", abstract: "Runs the sagas of a leaf cell.", version: ProcessShell.version)

    @Option(help: "The settings file that `cellwright apply` wrote.")
    var config: String

    func run() async throws {
        let settings = try SettingsFile.load(ServiceKit.ConductorSettings.self, from: config)
        guard let cell = CellPath(settings.cell.path) else { throw ValidationError("cell.path is not a cell path") }
        let shell = ProcessShell(
            service: "cellwright-conductor", fixed: ["cell": "\(cell)", "conductor": "\(settings.identity)"])
        let pool = try DatabaseSetup.open(settings.database, name: "conductor@\(cell)")
        let clock = DatabaseClock(pool)
        let bus: any MessageBus = try BusSetup.open(
            settings.bus, name: "conductor@\(cell)", wallClock: clock, shell: shell)
        let conductor = ConductorService(
            cell: cell, name: settings.identity, store: PostgresCellStore(pool: pool, cell: cell), bus: bus,
            clock: ContinuousClock(), wallClock: clock, ids: SystemIDSource(), logger: shell.logger)
        let ops = OpsServer(
            settings: settings.ops, health: shell.health, metrics: shell.metrics, logger: shell.logger)
        try await shell.run([ops, ClockKeeper(clock, logger: shell.logger), conductor])
        await bus.close()
        await pool.close()
    }
}
