import CellProtocol
import CloudModel
import Deployer
import FoundationEssentials
import Logging
import Primitives
import ServiceKit
import Simulation
import Topology

/// One laboratory from its start to its end.
struct Laboratory: Sendable {
    /// How long everything may take to be known at the root.
    private static let joinLimit: Duration = .seconds(900)
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
        options.databaseSettings = [
            "max_connections = \(shape.sessions)", "max_locks_per_transaction = 64", "autovacuum_naptime = 600",
            "max_wal_size = 4GB",
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
        let measurements = LabMeasurements(client: admin, clock: ContinuousClock())
        let flavor = try await measurements.flavor()
        try await measurements.liftQuota()
        var cells = try await LabCells(shape, servers, logger: logger)
        stages.end("databases")
        try await cells.seed(
            InstanceSeeder(
                count: shape.instances, cells: shape.cells, project: ProjectID(admin.projectID),
                user: UserID(admin.userID), flavor: flavor, zone: shape.pace.hosts.availabilityZone,
                now: SystemWallClock().now(), ids: SystemIDSource()))
        stages.end("servers")
        let leaves = try cells.makeServices()
        let found = try await withThrowingTaskGroup(of: Void.self) { group in
            for leaf in leaves { group.addTask { await leaf.run() } }
            let found = try await measure(leaves, cells, measurements, flavor, ready, servers, &stages)
            group.cancelAll()
            return found
        }
        await cells.close()
        return found
    }

    private func measure(
        _ leaves: [SimulatedLeaf], _ cells: LabCells, _ measurements: LabMeasurements, _ flavor: Flavor,
        _ ready: DevReady, _ servers: LabServers, _ stages: inout LabStages
    ) async throws -> LabRun {
        try await join(servers, measurements, cells, &stages)
        let list = try await lists(measurements, servers)
        stages.end("pages")
        var root = try await rest(servers)
        stages.end("rest")
        let image = try await LabImage.make(try await client(ready, project: "admin"))
        let booter = LabMeasurements(client: try await bootProject(ready), clock: ContinuousClock())
        try await booter.liftQuota()
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
            cells: shape.cells, branches: 0, hosts: shape.cells * shape.hostsPerCell, instances: shape.instances,
            broker: shape.isBrokerReal ? "real" : "memory", stages: stages.all, list: list, boots: boots,
            deadCell: dead, root: root,
            memoryMiB: LabRun.rounded(Double(ProcessMeter.memory(servers.everything)) / 1_048_576),
            seconds: stages.total)
    }

    // MARK: Stages

    /// Until the root knows every cell, server and host.
    private func join(
        _ servers: LabServers, _ measurements: LabMeasurements, _ cells: LabCells, _ stages: inout LabStages
    ) async throws {
        try await measurements.waitUntil("every cell is up", limit: Self.joinLimit) {
            try await servers.cellsUp() == shape.cells
        }
        stages.end("cells")
        let hosts = shape.cells * shape.hostsPerCell
        try await measurements.waitUntil("every host is up at the root", limit: Self.joinLimit) {
            try await servers.hostsUp() == hosts
        }
        stages.end("hosts")
        for leaf in cells.leaves { try await servers.readAgain(leaf.path) }
        try await measurements.waitUntil("every server is in the directory", limit: Self.joinLimit) {
            try await servers.servers() == shape.instances
        }
        stages.end("directory")
        try await measurements.waitUntil("every server counts against its quota", limit: Self.joinLimit) {
            try await servers.uses() == shape.instances
        }
        try await servers.analyze()
        try await ContinuousClock().sleep(for: Self.settling)
        stages.end("quotas")
    }

    private func lists(_ measurements: LabMeasurements, _ servers: LabServers) async throws -> LabRun.List {
        func cellOf(_ host: String) -> String { String(host.prefix { $0 != "-" }) }
        let fewCells = try await measurements.cells(of: LabMeasurements.fewPath, cellOfHost: cellOf)
        guard fewCells == 1 else { throw LabFailure("the newest servers are in \(fewCells) cells") }
        let spreadCells = try await measurements.cells(of: LabMeasurements.spreadPath, cellOfHost: cellOf)
        let root = servers.pids(of: "api", "supervisor-root")
        let before = ProcessMeter.cpu(root)
        let few = try await measurements.pages(LabMeasurements.fewPath, count: shape.pages)
        let used = ProcessMeter.cpu(root) - before
        let spread = try await measurements.pages(LabMeasurements.spreadPath, count: shape.pages)
        return LabRun.List(
            few: few, spread: spread, spreadCells: spreadCells,
            rootCPU: LabRun.rounded(used * 1000 / Double(shape.pages)))
    }

    /// What the root uses while nobody asks for anything.
    private func rest(_ servers: LabServers) async throws -> LabRun.Root {
        let processes = servers.pids(of: "api", "supervisor-root")
        let sessions = try await servers.rootSessions()
        let start = ContinuousClock.now
        let before = (own: ProcessMeter.cpu(processes), database: ProcessMeter.cpu(sessions))
        try await ContinuousClock().sleep(for: shape.rest)
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        let after = (own: ProcessMeter.cpu(processes), database: ProcessMeter.cpu(sessions))
        return LabRun.Root(
            memoryMiB: 0, restingCPU: LabRun.rounded((after.own - before.own) / seconds * 100),
            sockets: ProcessMeter.sockets(processes), databaseSessions: sessions.count,
            restingDatabaseCPU: LabRun.rounded((after.database - before.database) / seconds * 100))
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
