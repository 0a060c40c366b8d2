import CellProtocol
import CloudModel
import Deployer
import FoundationEssentials
import Logging
import MessageBus
import Primitives
import ServerLifecycle
import ServiceKit
import Simulation
import Topology

/// One laboratory from its start to its end.
struct Laboratory: Sendable {
    /// Databases take so long at most, all of them together; so does all that the root must hear of.
    private static let makeLimit: Duration = .seconds(600)
    private static let joinLimit: Duration = .seconds(600)
    /// Leaves that join at once: more would only be slower, and look dead to their parents meanwhile.
    private static let joining = 32
    private static let leafLimit: Duration = .seconds(120)
    private static let leafInterval: Duration = .milliseconds(200)
    private static let settling: Duration = .seconds(5)

    let shape: LabShape
    /// Of the development cloud; it goes with the laboratory.
    let folder: String
    let topologyFolder: String
    let firstPort: Int

    func run() async throws -> LabRun {
        let start = ContinuousClock.now
        let program = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        var options = DevOptions(
            topology: shape.development, folder: folder,
            binaries: URL(filePath: program).deletingLastPathComponent().path, topologyFolder: topologyFolder,
            hostsPerCell: 0, firstPort: firstPort, environment: ProcessInfo.processInfo.environment)
        options.isRootOnly = true
        let socket = LabServers.databaseSocket
        options.databaseSettings = [
            "unix_socket_directories = '\(socket)'",
            "max_connections = \(shape.sessions)", "autovacuum = off", "max_wal_size = 4GB", "shared_buffers = 256MB",
        ]
        return try await DevCloud.run(options, reporter: LabProgress(), now: SystemWallClock().now()) { ready in
            var stages = LabStages(since: start)
            stages.end("root")
            let servers = try LabServers(ready)
            do {
                let run = try await measure(ready, servers, &stages)
                await servers.close()
                return run
            } catch {
                await servers.close()
                throw error
            }
        }
    }

    private func measure(_ ready: DevReady, _ servers: LabServers, _ stages: inout LabStages) async throws -> LabRun {
        var logger = Logger(label: "laboratory") { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = .error
        let admin = try await client(ready, project: "admin")
        let measurements = measurements(admin)
        let flavor = try await measurements.flavor()
        try await measurements.liftQuota()
        let seeder = InstanceSeeder(
            count: shape.instances, cells: shape.tree.leaves.count, project: ProjectID(admin.projectID),
            user: UserID(admin.userID), flavor: flavor, zone: shape.pace.hosts.availabilityZone,
            now: SystemWallClock().now(), ids: SystemIDSource())
        let cells = try await makeCells(servers, seeder, logger)
        stages.end("databases")
        let branches = try cells.makeBranches()
        let leaves = try cells.makeLeaves()
        let found = try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await cells.timekeeper.run() }
            for branch in branches { group.addTask { await branch.run() } }
            var joining: [(leaf: SimulatedLeaf, since: ContinuousClock.Instant)] = []
            for leaf in leaves {
                group.addTask { await leaf.run() }
                joining.append((leaf, .now))
                while joining.count == Self.joining { try await look(at: &joining) }
            }
            while !joining.isEmpty { try await look(at: &joining) }
            stages.end("leaves")
            let found = try await measure(leaves, cells, measurements, flavor, ready, servers, &stages)
            group.cancelAll()
            return found
        }
        await cells.close()
        return found
    }

    private func measurements(_ client: LabClient) -> LabMeasurements {
        LabMeasurements(client: client, clock: ContinuousClock()) { LabProgress.say("  \($0)") }
    }

    private func makeCells(
        _ servers: LabServers, _ seeder: InstanceSeeder, _ logger: Logger
    ) async throws -> LabCells {
        let count = LabCount(of: shape.tree.leaves.count + shape.tree.branches.count, "cells have their databases")
        return try await withDeadline(Self.makeLimit) {
            try await LabCells(shape, servers, seeder, logger: logger) { count.one() }
        } orElse: {
            LabFailure("the laboratory gives up: \(count) after \(Self.makeLimit)")
        }
    }

    /// Lets go of those whose hosts have joined.
    private func look(
        at joining: inout [(leaf: SimulatedLeaf, since: ContinuousClock.Instant)]
    ) async throws {
        try await ContinuousClock().sleep(for: Self.leafInterval)
        var rest: [(leaf: SimulatedLeaf, since: ContinuousClock.Instant)] = []
        for (leaf, since) in joining {
            let pulse = try await leaf.pulse()
            if pulse.hostsUp == shape.hostsPerCell { continue }
            guard ContinuousClock.now - since < Self.leafLimit else {
                throw LabFailure(
                    "the laboratory gives up: \(pulse.hostsUp) of \(shape.hostsPerCell) hosts of \(leaf.cell) have "
                        + "joined after \(Self.leafLimit)")
            }
            rest.append((leaf, since))
        }
        joining = rest
    }

    private func measure(
        _ leaves: [SimulatedLeaf], _ cells: LabCells, _ measurements: LabMeasurements, _ flavor: Flavor,
        _ ready: DevReady, _ servers: LabServers, _ stages: inout LabStages
    ) async throws -> LabRun {
        try await join(servers, cells, measurements, &stages)
        let list = try await lists(measurements, servers)
        stages.end("pages")
        var root = try await rest(servers)
        stages.end("rest")
        let image = try await LabImage.make(try await client(ready, project: "admin"))
        let booter = self.measurements(try await bootProject(ready))
        try await booter.liftQuota()
        // The first one lets the scheduler read all hosts.
        _ = try await booter.boots(1, flavor: flavor, image: image)
        let boots = try await booter.boots(shape.boots, flavor: flavor, image: image)
        stages.end("boots")
        var dead: LabRun.DeadCell?
        if let leaf = leaves.last, leaves.count > 1, let server = cells.leaves.last?.guests.values.first?.first {
            dead = try await measurements.deadCell(server: "\(server)", others: LabMeasurements.fewPath) {
                leaf.killSupervisor()
            }
            stages.end("dead cell")
        }
        let processes = servers.pids(of: "api", "supervisor-root")
        root.memoryMiB = LabRun.rounded(Double(ProcessMeter.memory(processes)) / 1_048_576)
        return LabRun(
            cells: leaves.count, branches: shape.tree.branches.count, hosts: shape.hosts, instances: shape.instances,
            broker: shape.isBrokerReal ? "real" : "memory", stages: stages.all, list: list, boots: boots,
            deadCell: dead, root: root,
            memoryMiB: LabRun.rounded(Double(ProcessMeter.memory(servers.everything)) / 1_048_576),
            seconds: stages.total)
    }

    // MARK: Stages

    /// Until the root knows every cell, server and host.
    private func join(
        _ servers: LabServers, _ labCells: LabCells, _ measurements: LabMeasurements, _ stages: inout LabStages
    ) async throws {
        let cells = shape.tree.leaves.count + shape.tree.branches.count
        try await measurements.waitUntil("cells are up", limit: Self.joinLimit) {
            try await servers.cellsUp(of: cells)
        }
        stages.end("cells")
        try await measurements.waitUntil("hosts are up at the root", limit: Self.joinLimit) {
            .init(try await servers.hostsUp(), of: shape.hosts)
        }
        stages.end("hosts")
        try await measurements.waitUntil("servers are in the directory", limit: Self.joinLimit) {
            .init(try await servers.serversKnown(), of: shape.instances)
        }
        stages.end("directory")
        try await measurements.waitUntil("servers count against their quota", limit: Self.joinLimit) {
            .init(try await servers.uses(), of: shape.instances)
        }
        try await servers.analyze()
        try await labCells.analyze()
        try await ContinuousClock().sleep(for: Self.settling)
        stages.end("quotas")
    }

    private func lists(_ measurements: LabMeasurements, _ servers: LabServers) async throws -> LabRun.List {
        func cellOf(_ host: String) -> String { String(host.prefix { $0 != "-" }) }
        let fewCells = try await measurements.cells(of: LabMeasurements.fewPath, cellOfHost: cellOf)
        guard fewCells == 1 else { throw LabFailure("the newest servers are in \(fewCells) cells") }
        let spreadCells = try await measurements.cells(of: LabMeasurements.spreadPath, cellOfHost: cellOf)
        let root = servers.pids(of: "api", "supervisor-root")
        let pages = try await measurements.pages(
            [LabMeasurements.fewPath, LabMeasurements.spreadPath, LabMeasurements.referencePath], count: shape.pages
        ) { ProcessMeter.cpu(root) }
        return LabRun.List(
            few: pages[0].latency, spread: pages[1].latency, spreadCells: spreadCells, rootCPU: pages[0].used,
            reference: pages[2].latency)
    }

    /// What the root uses while nobody asks for anything.
    private func rest(_ servers: LabServers) async throws -> LabRun.Root {
        let processes = servers.pids(of: "api", "supervisor-root")
        let sessions = try await servers.rootSessions()
        let everything = servers.everything
        func used() -> [Double] { [processes, sessions, everything].map { ProcessMeter.cpu($0) } }
        let start = ContinuousClock.now
        let before = used()
        try await ContinuousClock().sleep(for: shape.rest)
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        let share = zip(used(), before).map { LabRun.rounded(($0 - $1) / seconds * 100) }
        return LabRun.Root(
            memoryMiB: 0, restingCPU: share[0], sockets: ProcessMeter.sockets(processes),
            databaseSessions: sessions.count, restingDatabaseCPU: share[1], restingLaboratoryCPU: share[2])
    }

    // MARK: People

    private func client(_ ready: DevReady, project: String) async throws -> LabClient {
        let password = try SecretStore(folder: "\(ready.folder)/secrets").value(
            .user(BootstrapDocument.administratorName))
        return try await LabClient(
            url: ready.url, user: BootstrapDocument.administratorName, password: password, project: project)
    }

    /// Servers are booted in a project of their own, so that the seeded ones' number has no part in it.
    private func bootProject(_ ready: DevReady) async throws -> LabClient {
        let admin = try await client(ready, project: "admin")
        let made = try await admin.json("POST", "/identity/v3/projects", ["project": ["name": "boots"]])
        let roles = try await admin.json("GET", "/identity/v3/roles?name=admin")
        guard let project = made["project"]?["id"]?.string, let role = roles["roles"]?.array?.first?["id"]?.string
        else {
            throw LabFailure("the laboratory's project can't be made")
        }
        _ = try await admin.bytes("PUT", "/identity/v3/projects/\(project)/users/\(admin.userID)/roles/\(role)")
        return try await client(ready, project: "boots")
    }
}

/// How long each stage took.
struct LabStages {
    private(set) var all: [LabRun.Stage] = []
    private let start: ContinuousClock.Instant
    private var last: ContinuousClock.Instant

    init(since start: ContinuousClock.Instant) {
        self.start = start
        last = start
    }

    var total: Double { LabRun.rounded((ContinuousClock.now - start) / .seconds(1)) }

    mutating func end(_ name: String) {
        let now = ContinuousClock.now
        all.append(.init(name: name, seconds: LabRun.rounded((now - last) / .seconds(1))))
        last = now
        LabProgress.say("\(name): \(all.last?.seconds ?? 0) s")
    }
}
