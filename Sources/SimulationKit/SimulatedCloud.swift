import CellProtocol
import CloudModel
import ComputeAgent
import Conductor
import FoundationEssentials
import Logging
import MessageBus
import Primitives
import ServerLifecycle
import ServiceLifecycle
import Supervisor
import Synchronization

/// A whole cloud of the real services over stand-ins of their ports: databases, brokers and hypervisors in memory, which
/// live on when processes die.
final class SimulatedCloud: Sendable {
    /// A process that was killed starts again after this long (milliseconds), as systemd would have it.
    private static let restartDelay = 100...4000

    private struct Running: Sendable {
        let fuse: Fuse
        var buses: [(vhost: CellPath, bus: SimulatedBus)] = []
    }

    let shape: TreeShape
    let executor: SeededExecutor
    let weather: Weather
    let ids: SeededIDs
    let clock: VirtualClock
    let wallClock: VirtualWallClock
    let log: TraceLog
    let broker: InMemoryBroker
    let root: InMemoryRootStore
    let branches: [CellPath: InMemoryBranchStore]
    let leaves: [CellPath: InMemoryCellStore]
    let hosts: [SimulatedHost]
    /// As an API process reaches the cells; it is never killed.
    let router: ChildRouter
    private let running = Mutex<[TreeShape.Process: Running]>([:])

    init(_ shape: TreeShape, executor: SeededExecutor, weather: Weather, ids: SeededIDs, log: TraceLog, folder: String)
        throws
    {
        self.shape = shape
        self.executor = executor
        self.weather = weather
        self.ids = ids
        self.log = log
        let clock = VirtualClock(executor)
        self.clock = clock
        let wallClock = VirtualWallClock(executor)
        self.wallClock = wallClock
        let broker = InMemoryBroker(clock: clock, wallClock: wallClock)
        self.broker = broker
        root = InMemoryRootStore(wallClock: wallClock)
        branches = Dictionary(
            uniqueKeysWithValues: shape.branches.map { ($0, InMemoryBranchStore(cell: $0, wallClock: wallClock)) })
        leaves = Dictionary(
            uniqueKeysWithValues: shape.leaves.map { ($0, InMemoryCellStore(cell: $0, wallClock: wallClock)) })
        hosts = try shape.hosts.map { name, cell in
            try SimulatedHost(name, in: cell, provider: ids.next(), folder: "\(folder)/\(name)")
        }
        let fuse = Fuse()
        router = ChildRouter(sender: "api", ids: ids, wallClock: wallClock) { mapping in
            SimulatedBus(
                broker: broker, vhost: mapping.path.description, machine: "api", fuse: fuse, weather: weather,
                clock: clock)
        }
    }

    /// Everything runs, until cancelled.
    func run() async {
        do {
            try await mapCells()
        } catch {
            log.add("cells are not mapped: \(error)")
        }
        await withDiscardingTaskGroup { group in
            for host in hosts { group.addTask { await host.run() } }
            for process in shape.processes { group.addTask { await self.keep(process) } }
            group.addTask { await self.feedRouter() }
        }
    }

    private func mapCells() async throws {
        func endpoint(_ cell: CellPath) -> CellMapping.Endpoint {
            CellMapping.Endpoint(
                host: "-", port: 1, vhost: cell.description, user: "parent", password: Secret("-"))
        }
        for cell in shape.branches { _ = try await root.putCell(cell, bus: endpoint(cell), now: wallClock.now()) }
        for (branch, store) in branches {
            for leaf in shape.leaves where leaf.parent == branch {
                _ = try await store.putCell(leaf, bus: endpoint(leaf), now: wallClock.now())
            }
        }
    }

    /// What the API's own feed of cells does.
    private func feedRouter() async {
        do {
            while !Task.isCancelled {
                await router.update(try await root.cells())
                await router.probe()
                try await clock.sleep(for: .milliseconds(500))
            }
        } catch {
            return
        }
    }

    // MARK: Processes

    /// Runs a process, and runs it again when it has died.
    private func keep(_ process: TreeShape.Process) async {
        do {
            while !Task.isCancelled {
                log.add("\(process) starts")
                await runOnce(process)
                log.add("\(process) is gone")
                try await clock.sleep(for: weather.milliseconds(Self.restartDelay))
            }
        } catch {
            return
        }
    }

    private func runOnce(_ process: TreeShape.Process) async {
        let fuse = Fuse()
        running.withLock { $0[process] = Running(fuse: fuse) }
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                do {
                    try await self.service(process, fuse).run()
                } catch {
                    self.log.add("\(process) ends: \(error)")
                }
            }
            group.addTask { await fuse.death() }
            await group.next()
            // The kernel closes what the process had open, whatever it was at.
            for open in self.running.withLock({ $0[process]?.buses ?? [] }) { await open.bus.close() }
            fuse.kill()
            group.cancelAll()
        }
        running.withLock { $0[process] = nil }
    }

    private func service(_ process: TreeShape.Process, _ fuse: Fuse) throws -> any Service {
        let clock = VirtualClock(executor, fuse: fuse)
        let logger = log.logger("\(process)")
        switch process.role {
        case .root:
            return RootSupervisor(
                name: process.name,
                store: PortedRootStore(base: root, port: port(of: .root, fuse)), router: router(of: process, fuse),
                clock: clock, wallClock: wallClock, ids: ids, logger: logger)
        case .branch(let cell):
            guard let store = branches[cell] else { throw MissingPart(name: "\(cell)") }
            return BranchSupervisor(
                cell: cell, name: process.name, version: "1",
                store: PortedBranchStore(base: store, port: port(of: cell, fuse)), bus: bus(cell, of: process, fuse),
                router: router(of: process, fuse), clock: clock, wallClock: wallClock, ids: ids, logger: logger)
        case .leaf(let cell):
            return LeafSupervisor(
                cell: cell, name: process.name, version: "1",
                hosts: shape.hosts.filter { $0.cell == cell }.map(\.name), store: try leaf(cell, fuse),
                bus: bus(cell, of: process, fuse), clock: clock, wallClock: wallClock, ids: ids, logger: logger)
        case .conductor(let cell):
            return ConductorService(
                cell: cell, name: process.name, store: try leaf(cell, fuse), bus: bus(cell, of: process, fuse),
                clock: clock, wallClock: wallClock, ids: ids, settings: Self.conductorSettings, logger: logger)
        case .agent(let name, let cell): return try agent(name, cell, process, fuse, clock, logger)
        }
    }

    private func agent(
        _ name: HostName, _ cell: CellPath, _ process: TreeShape.Process, _ fuse: Fuse, _ clock: VirtualClock,
        _ logger: Logger
    ) throws -> any Service {
        guard let host = hosts.first(where: { $0.name == name }) else { throw MissingPart(name: "\(name)") }
        let driver = PortedDriver(
            host: host, lifecycleEvents: host.listen(), fuse: fuse, weather: weather, clock: clock)
        return AgentService(
            identity: .init(host: name, providerID: host.provider, availabilityZone: cell.name),
            bus: bus(cell, of: process, fuse), driver: driver,
            worker: GuestWorker(
                driver: driver, preparation: SimulatedGuestPreparation(diskGiB: 100), clock: clock),
            journal: try StepJournal(directory: host.folder, now: wallClock.now()),
            inventory: { host.inventory }, clock: clock, wallClock: wallClock, ids: ids, logger: logger)
    }

    private struct MissingPart: Error { let name: String }

    /// Shorter than in production, so that a run is: what they mean for each other is the same.
    private static let conductorSettings: ConductorSettings = {
        var settings = ConductorSettings()
        settings.firstRepeat = .seconds(2)
        settings.repeatCap = .seconds(10)
        return settings
    }()

    private func port(of cell: CellPath, _ fuse: Fuse) -> DatabasePort {
        DatabasePort(cell: cell, fuse: fuse, weather: weather, clock: clock)
    }

    private func leaf(_ cell: CellPath, _ fuse: Fuse) throws -> PortedCellStore {
        guard let store = leaves[cell] else { throw MissingPart(name: "\(cell)") }
        return PortedCellStore(base: store, port: port(of: cell, fuse))
    }

    private func bus(_ cell: CellPath, of process: TreeShape.Process, _ fuse: Fuse) -> SimulatedBus {
        let bus = SimulatedBus(
            broker: broker, vhost: cell.description, machine: "\(process)", fuse: fuse, weather: weather, clock: clock)
        running.withLock { $0[process]?.buses.append((cell, bus)) }
        return bus
    }

    private func router(of process: TreeShape.Process, _ fuse: Fuse) -> ChildRouter {
        ChildRouter(sender: "\(process)", ids: ids, wallClock: wallClock) { mapping in
            self.bus(mapping.path, of: process, fuse)
        }
    }

    // MARK: Faults

    func kill(_ process: TreeShape.Process) { running.withLock { $0[process]?.fuse }?.kill() }
    func freeze(_ process: TreeShape.Process) { running.withLock { $0[process]?.fuse }?.freeze() }
    func thaw(_ process: TreeShape.Process) { running.withLock { $0[process]?.fuse }?.thaw() }

    func setCut(_ isCut: Bool, _ process: TreeShape.Process, _ vhost: CellPath) async {
        weather.setCut(isCut, "\(process)", vhost.description)
        guard isCut else { return }
        let buses = running.withLock { $0[process]?.buses ?? [] }
        for open in buses where open.vhost == vhost { await open.bus.drop() }
    }

    func setBroker(_ isUp: Bool, of cell: CellPath) { broker.setReachable(isUp, vhost: cell.description) }
}
