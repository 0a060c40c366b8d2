import ArgumentParser
import BusSetup
import CellProtocol
import CloudModel
import DatabaseSetup
import Logging
import MessageBus
import Persistence
import PostgresClient
import Primitives
import RabbitMQTransport
import FoundationEssentials
import ServiceKit
import Supervisor

/// The composition root of a supervisor: the root cell's or a leaf's, by its path.
struct SupervisorProcess {
    let settings: SupervisorSettings

    func run() async throws {
        guard let cell = CellPath(settings.cell.path) else { throw ValidationError("cell.path is not a cell path") }
        let shell = ProcessShell(service: "cellwright-supervisor", fixed: ["cell": "\(cell)"])
        let pool = try DatabaseSetup.open(settings.database, name: "supervisor@\(cell)")
        let applied = try await CellSchemas.migrate(pool, isRoot: cell.isRoot)
        if !applied.isEmpty { shell.logger.notice("schema migrated", metadata: ["migrations": "\(applied)"]) }
        let bus: any MessageBus = try BusSetup.open(settings.bus, name: "supervisor@\(cell)", shell: shell)
        let ops = OpsServer(
            settings: settings.ops, health: shell.health, metrics: shell.metrics, logger: shell.logger)
        if cell.isRoot {
            try await shell.run([ops, root(pool, shell)])
        } else {
            try await shell.run([ops, leaf(cell, pool, bus, shell)])
        }
        await bus.close()
        await pool.close()
    }

    private func root(_ pool: PostgresPool, _ shell: ProcessShell) -> RootSupervisor {
        let children = ChildConnections(name: "supervisor@/", tls: settings.bus.tls, logger: shell.logger)
        let router = ChildRouter(
            sender: "supervisor@/", ids: SystemIDSource(), wallClock: SystemWallClock(),
            renew: { children.renew($0) }, connect: { children.open($0) })
        return RootSupervisor(
            store: PostgresRootStore(
                pool: pool, ports: .network(PostgresNetworkStore(pool: pool, ids: SystemIDSource()))), router: router,
            clock: ContinuousClock(),
            wallClock: SystemWallClock(), ids: SystemIDSource(), logger: shell.logger)
    }

    private func leaf(
        _ cell: CellPath, _ pool: PostgresPool, _ bus: any MessageBus, _ shell: ProcessShell
    ) -> LeafSupervisor {
        LeafSupervisor(
            cell: cell, name: "supervisor-" + ProcessInfo.processInfo.hostName,
            version: shell.version, hosts: [], store: PostgresCellStore(pool: pool, cell: cell), bus: bus,
            clock: ContinuousClock(), wallClock: SystemWallClock(), ids: SystemIDSource(), logger: shell.logger)
    }
}
