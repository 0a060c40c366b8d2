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

/// The composition root of a supervisor: the root cell's, a branch's or a leaf's.
struct SupervisorProcess {
    let settings: SupervisorSettings

    func run() async throws {
        guard let cell = CellPath(settings.cell.path) else { throw ValidationError("cell.path is not a cell path") }
        let shell = ProcessShell(service: "cellwright-supervisor", fixed: ["cell": "\(cell)"])
        let pool = try DatabaseSetup.open(settings.database, name: "supervisor@\(cell)")
        let clock = DatabaseClock(pool)
        let kind = try settings.cell.cellKind()
        let applied = try await CellSchemas.migrate(pool, kind)
        if !applied.isEmpty { shell.logger.notice("schema migrated", metadata: ["migrations": "\(applied)"]) }
        let bus: any MessageBus = try BusSetup.open(
            settings.bus, name: "supervisor@\(cell)", wallClock: clock, shell: shell)
        let ops = OpsServer(
            settings: settings.ops, health: shell.health, metrics: shell.metrics, logger: shell.logger)
        let keeper = ClockKeeper(clock, logger: shell.logger)
        switch kind {
        case .root: try await shell.run([ops, keeper, root(pool, clock, shell)])
        case .branch: try await shell.run([ops, keeper, branch(cell, pool, bus, clock, shell)])
        case .leaf: try await shell.run([ops, keeper, leaf(cell, pool, bus, clock, shell)])
        }
        await bus.close()
        await pool.close()
    }

    private func root(_ pool: PostgresPool, _ wallClock: any WallClock, _ shell: ProcessShell) -> RootSupervisor {
        RootSupervisor(
            name: settings.identity,
            store: PostgresRootStore(
                pool: pool, ports: .network(PostgresNetworkStore(pool: pool, ids: SystemIDSource()))),
            router: router(.root, wallClock, shell), clock: ContinuousClock(), wallClock: wallClock,
            ids: SystemIDSource(), logger: shell.logger)
    }

    private func branch(
        _ cell: CellPath, _ pool: PostgresPool, _ bus: any MessageBus, _ wallClock: any WallClock,
        _ shell: ProcessShell
    ) -> BranchSupervisor {
        BranchSupervisor(
            cell: cell, name: settings.identity, version: shell.version,
            store: PostgresBranchStore(pool: pool, cell: cell), bus: bus,
            router: router(cell, wallClock, shell),
            clock: ContinuousClock(), wallClock: wallClock, ids: SystemIDSource(), logger: shell.logger)
    }

    private func router(_ cell: CellPath, _ wallClock: any WallClock, _ shell: ProcessShell) -> ChildRouter {
        let name = "supervisor@\(cell)"
        let children = ChildConnections(
            name: name, tls: settings.tls, wallClock: wallClock, logger: shell.logger)
        return ChildRouter(
            sender: name, ids: SystemIDSource(), wallClock: wallClock, renew: { children.renew($0) },
            connect: { children.open($0) })
    }

    private func leaf(
        _ cell: CellPath, _ pool: PostgresPool, _ bus: any MessageBus, _ wallClock: any WallClock,
        _ shell: ProcessShell
    ) -> LeafSupervisor {
        LeafSupervisor(
            cell: cell, name: settings.identity,
            version: shell.version, hosts: [], store: PostgresCellStore(pool: pool, cell: cell), bus: bus,
            clock: ContinuousClock(), wallClock: wallClock, ids: SystemIDSource(), logger: shell.logger)
    }
}

extension CellSettings {
    /// - Throws: a validation error for a kind that this program does not know.
    func cellKind() throws -> CellKind {
        if path == "/" { return .root }
        guard let kind else { return .leaf }
        guard let known = CellKind(rawValue: kind), known != .root else {
            throw ValidationError("cell.kind is neither branch nor leaf")
        }
        return known
    }
}
