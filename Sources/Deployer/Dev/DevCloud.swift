import CloudModel
package import FoundationEssentials
import Glibc
import Primitives
import SystemPackage
import Topology

/// A whole cloud as child processes of this one: private PostgreSQL and RabbitMQ, every service, simulated hypervisors.
///
/// Order: RabbitMQ, the slowest, begins at once; PostgreSQL, databases and schemas beside it; then supervisors, cell
/// mappings, hosts and bootstrap objects; then API, conductors and agents. It ends in the opposite order, and a guard
/// process ends everything if this process is killed.
package struct DevCloud: Sendable {
    /// Calls of our own executables in flight at once.
    static let parallel = 4
    static let healthLimit = Duration.seconds(30)
    private static let lockLimit = Duration.seconds(10)
    private static let callTimeout = Duration.seconds(60)

    private let options: DevOptions
    private let layout: DevLayout
    private let reporter: any ProgressReporter
    private let secrets: SecretStore
    private let processGuard: DevGuard
    private let start: ContinuousClock.Instant

    /// Starts a cloud, runs `body` while it lives, and ends it, in order. Of a cloud that can't start, or in which a
    /// process does not stay alive, the folder with its logs is left; else nothing is.
    ///
    /// Cancelling ends everything too, but all at once.
    /// - Throws: ``DevFailure`` when something can't start, ``ExclusiveLock/Held`` when the folder is in use, and what
    ///   `body` throws.
    package static func run<Result: Sendable>(
        _ options: DevOptions, reporter: any ProgressReporter, now: Date,
        body: @escaping @Sendable (DevReady) async throws -> Result
    ) async throws -> Result {
        let start = ContinuousClock().now
        let parent = FilePath(options.folder).removingLastComponent().string
        let isParentOurs = !FileSystem.exists(parent)
        if isParentOurs { try FileSystem.makeFolder(parent) }
        let lockFile = "\(options.folder).lock"
        let lock = try await takeLock(lockFile, now: now)
        defer {
            // While it is still held, so that nobody else's is removed.
            unlink(lockFile)
            withExtendedLifetime(lock) {}
            // Goes only if it is empty: a deployment keeps its own things there.
            if isParentOurs { rmdir(parent) }
        }
        return try await runLocked(lock, options, reporter: reporter, start: start, body: body)
    }

    /// A killed cloud's guard keeps the lock for a moment, until it has cleaned up: that much is waited for.
    private static func takeLock(_ path: String, now: Date) async throws -> ExclusiveLock {
        let clock = ContinuousClock()
        let end = clock.now.advanced(by: lockLimit)
        while true {
            do {
                return try ExclusiveLock(path: path, command: "cellwright dev", now: now)
            } catch let held as ExclusiveLock.Held {
                guard clock.now < end, let holder = held.holder, kill(holder.process, 0) != 0 else { throw held }
                try await clock.sleep(for: .milliseconds(100))
            }
        }
    }

    private static func runLocked<Result: Sendable>(
        _ lock: borrowing ExclusiveLock, _ options: DevOptions, reporter: any ProgressReporter,
        start: ContinuousClock.Instant,
        body: @escaping @Sendable (DevReady) async throws -> Result
    ) async throws -> Result {
        try FileSystem.remove(options.folder)
        try FileSystem.makeFolder(options.folder)
        let databaseFolder = try DevPostgres.makeFolder(inside: options.folder)
        let processGuard = try DevGuard(
            folders: [options.folder, databaseFolder, "\(options.folder).lock"], lock: lock.descriptor)
        defer {
            processGuard.finish()
            do { try FileSystem.remove(databaseFolder) } catch {
                reporter.report(ProgressEvent(.note, "\(databaseFolder) is left", detail: "\(error)"))
            }
        }
        let layout = try DevLayout(options: options, databaseFolder: databaseFolder)
        try checkBinaries(options.binaries, layout)
        for folder in layout.folders { try FileSystem.makeFolder(folder) }
        let cloud = DevCloud(
            options: options, layout: layout, reporter: reporter, secrets: SecretStore(folder: layout.secrets),
            processGuard: processGuard, start: start)
        let outcome: Outcome<Result>
        do {
            outcome = try await cloud.runServers { ready in
                do { return .returned(try await body(ready)) } catch { return .threw(error) }
            }
        } catch is CancellationError {
            outcome = .threw(CancellationError())
        } catch let failure as DevProcess.GaveUp {
            throw DevFailure(failure.description)
        }
        processGuard.finish()
        try FileSystem.remove(options.folder)
        switch outcome {
        case .returned(let value): return value
        case .threw(let error): throw error
        }
    }

    /// What `body` ended with: its errors are not the cloud's.
    private enum Outcome<Result: Sendable>: Sendable {
        case returned(Result)
        case threw(any Error)
    }

    // MARK: Stages

    private func runServers<Result: Sendable>(
        _ body: @escaping @Sendable (DevReady) async throws -> Result
    ) async throws -> Result {
        let brokers = try DevBroker.servers(layout)
        let databases = try DevPostgres.servers(layout, options)
        for broker in brokers { try broker.prepare(secrets) }
        for service in layout.services {
            try PrivateFile.write(service.configuration.json, to: service.configurationPath)
            for secret in service.process.secrets { _ = try secrets.value(secret.name) }
        }
        let brokerProcesses = ([DevBroker.nameServer(layout)] + brokers.map { $0.specification() }).map(process)
        return try await withDevProcesses(brokerProcesses) {
            let password = try secrets.value(DevPostgres.administratorSecret).reveal()
            try await step("make the database server") {
                for database in databases { try await database.initialise(password) }
            }
            let databaseProcesses = databases.map { process($0.specification()) }
            let result = try await withDevProcesses(databaseProcesses) {
                try await step("start PostgreSQL on port \(layout.ports.database)") {
                    for database in databases { try await database.waitUntilReady() }
                }
                try await step("make \(databases.map(\.cells.count).reduce(0, +)) databases with their schemas") {
                    for database in databases { try await database.createDatabases(secrets) }
                    try await migrate()
                }
                try await step("start RabbitMQ on port \(layout.ports.broker.messages)") {
                    for broker in brokers { try await broker.waitUntilReady() }
                }
                return try await runControlPlane(servers: brokerProcesses + databaseProcesses, body)
            }
            for database in databases { try await database.removeDatabases() }
            return result
        }
    }

    private func runControlPlane<Result: Sendable>(
        servers: [DevProcess], _ body: @escaping @Sendable (DevReady) async throws -> Result
    ) async throws -> Result {
        let supervisors = running(.supervisor)
        let processes = supervisors.map { process(specification(of: $0)) }
        return try await withDevProcesses(processes) {
            try await step("start \(supervisors.count) supervisors") { try await waitUntilHealthy(supervisors) }
            try await step("map cells, declare hosts, make first projects, users, flavors and networks") {
                try await introduce()
            }
            return try await runWorkers(others: servers + processes, body)
        }
    }

    private func runWorkers<Result: Sendable>(
        others: [DevProcess], _ body: @escaping @Sendable (DevReady) async throws -> Result
    ) async throws -> Result {
        let services = layout.services(.api) + running(.conductor) + running(.compute)
        let processes = services.map { process(specification(of: $0)) }
        return try await withDevProcesses(processes) {
            let hosts = running(.compute).count
            try await step("start the API, the conductors and \(hosts) simulated hosts") {
                try await waitUntilHealthy(services)
            }
            let client = try await administrator()
            try await DevImages(
                images: layout.topology.bootstrap.images, topologyFolder: options.topologyFolder,
                folder: layout.folder, reporter: reporter
            ).upload(client)
            try await step("wait until every host has joined") { try await waitUntilHostsAreUp(hosts, client) }
            try writeCloudsFile()
            return try await body(try ready(others + processes))
        }
    }

    // MARK: Steps

    private func migrate() async throws {
        let supervisors = running(.supervisor).filter { $0.process.host == Topology.devMachine }
        _ = try await parallelMap(supervisors, limit: Self.parallel) { service in
            try await call(service, ["migrate"])
        }
    }

    private func introduce() async throws {
        // Whoever serves cells below the root maps what lies below them.
        let mapped = layout.topology.cells.filter { cell in
            !cell.path.isRoot && (!options.isRootOnly || cell.path.parent?.isRoot == true)
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                for cell in mapped { try await map(cell) }
            }
            group.addTask {
                let hosts = running(.compute)
                _ = try await parallelMap(hosts, limit: Self.parallel) { host in try await declare(host) }
            }
            group.addTask { try await bootstrap() }
            try await group.waitForAll()
        }
    }

    private func map(_ cell: Topology.Cell) async throws {
        guard let parent = cell.path.parent.flatMap(layout.supervisor), let own = layout.supervisor(of: cell.path),
            case .supervisor(let settings) = own.configuration,
            let user = layout.processLayout.brokerUsers.first(where: { $0.cell == cell.path && $0.role == .parent })
        else { return }
        let mapping = CellMappingInput(
            path: cell.path.description, name: cell.name,
            bus: .init(
                host: settings.bus.host, port: settings.bus.port, vhost: settings.bus.vhost, user: user.name,
                password: try secrets.value(user.secret)))
        try await call(parent, ["cell", "put"], input: try JSONEncoder().encode(mapping))
    }

    private func declare(_ host: DevLayout.Service) async throws {
        guard let supervisor = layout.supervisor(of: host.process.cell) else { return }
        try await call(
            supervisor, ["host", "put"], input: try JSONEncoder().encode(["name": host.process.host.text]))
    }

    private func bootstrap() async throws {
        guard let api = layout.services(.api).first else { return }
        var document = BootstrapDocument.administrator(password: try administratorPassword())
        let bootstrap = layout.topology.bootstrap
        for project in bootstrap.projects { document.add(project) }
        for user in bootstrap.users { document.add(user, password: try password(of: user)) }
        for flavor in bootstrap.flavors { document.add(flavor) }
        for network in bootstrap.networks { document.add(network) }
        try await call(api, ["bootstrap"], input: try JSONEncoder().encode(document))
    }

    private func password(of user: Topology.User) throws -> Secret {
        let given = try SecretStore.read(
            user.password, relativeTo: options.topologyFolder, environment: options.environment)
        return try given ?? secrets.value(.user(user.name))
    }

    /// Of the user `admin`, listed or not.
    private func administratorPassword() throws -> Secret {
        let name = BootstrapDocument.administratorName
        let listed = layout.topology.bootstrap.users.first { $0.name == name }
        return try listed.map(password) ?? secrets.value(.user(name))
    }

    private func administrator() async throws -> CloudClient {
        let admin = BootstrapDocument.administratorName
        return try await CloudClient.login(
            url: layout.url, authority: nil, user: admin, password: try administratorPassword(), project: admin)
    }

    private func writeCloudsFile() throws {
        let admin = BootstrapDocument.administratorName
        let administrator = CloudsFile.Login(
            cloud: "cellwright-admin", user: admin, project: admin, password: try administratorPassword())
        // Where the topology lists no user, the administrator is the user too.
        var user = administrator
        user.cloud = "cellwright"
        if let listed = layout.topology.bootstrap.users.first(where: { $0.name != admin }) {
            user.user = listed.name
            user.project = listed.project
            user.password = try password(of: listed)
        }
        let text = CloudsFile.text([user, administrator], url: layout.url, region: layout.topology.region)
        try PrivateFile.write(text, to: layout.cloudsFile)
    }

    private func ready(_ processes: [DevProcess]) throws -> DevReady {
        let services = Dictionary(layout.services.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        return DevReady(
            pid: getpid(), folder: layout.folder, region: layout.topology.region, url: layout.url,
            authURL: "\(layout.url)/identity/v3", cloudsFile: layout.cloudsFile,
            database: .init(
                host: "127.0.0.1", port: layout.ports.database, user: DevPostgres.administrator,
                passwordFile: layout.secretFile(DevPostgres.administratorSecret)),
            broker: .init(
                host: "127.0.0.1", port: layout.ports.broker.messages,
                user: ResourceSpecification.brokerAdministratorName,
                passwordFile: layout.secretFile(.brokerAdministrator(Topology.devMachine))),
            managementPort: layout.ports.broker.management,
            cells: layout.topology.cells.map { cell in
                .init(
                    path: cell.path.description, resource: cell.path.resourceName,
                    databasePasswordFile: layout.secretFile(.database(cell.path)), hosts: cell.hosts.map(\.name.text),
                    databasePort: layout.ports.ownDatabases[cell.path],
                    managementPort: layout.ports.ownBrokers[cell.path]?.management,
                    supervisor: layout.supervisor(of: cell.path)?.configurationPath)
            },
            processes: processes.map { process in
                let service = services[process.specification.name]
                return .init(
                    name: process.specification.name, pid: process.pid ?? 0,
                    ops: service.map { "http://\($0.health.host):\($0.health.port)" }, log: process.specification.log,
                    configuration: service?.configurationPath)
            },
            seconds: ((ContinuousClock().now - start) / .milliseconds(1)).rounded() / 1_000)
    }

    // MARK: Parts

    /// Those that this cloud runs itself.
    private func running(_ kind: ProcessLayout.Kind) -> [DevLayout.Service] {
        layout.services(kind).filter { $0.process.cell.isRoot || !options.isRootOnly }
    }

    private func process(_ specification: DevProcess.Specification) -> DevProcess {
        DevProcess(specification, processGuard: processGuard, reporter: reporter)
    }

    private func specification(of service: DevLayout.Service) -> DevProcess.Specification {
        .init(
            name: service.name, program: "\(options.binaries)/\(service.process.binary)",
            arguments: ["--config", service.configurationPath], log: service.log,
            hold: "\(layout.holdFolder)/\(service.name)")
    }

    /// Runs one of a service's own subcommands to its end.
    @discardableResult
    private func call(
        _ service: DevLayout.Service, _ words: [String], input: Data = Data()
    ) async throws -> String {
        try await LocalCommand(
            "\(options.binaries)/\(service.process.binary)",
            words + ["--config", service.configurationPath], input: input, timeout: Self.callTimeout
        ).check()
    }

    private func waitUntilHealthy(_ services: [DevLayout.Service]) async throws {
        _ = try await parallelMap(services, limit: Self.parallel) { service in
            let isHealthy = try await poll(every: .milliseconds(50), for: Self.healthLimit) {
                await HealthProbe.isHealthy(host: service.health.host, port: service.health.port)
            }
            guard isHealthy else {
                throw DevFailure(
                    "\(service.name) is not healthy after \(Self.healthLimit.components.seconds) s; its log "
                        + "\(service.log) ends with:\n\(DevProcess.tail(of: service.log))")
            }
        }
    }

    /// A server that is asked for as soon as the cloud is ready must find them.
    private func waitUntilHostsAreUp(_ count: Int, _ client: CloudClient) async throws {
        let areUp = try await poll(every: .milliseconds(100), for: Self.healthLimit) {
            let hosts = try await client.list("/compute/v2.1/os-hypervisors", key: "hypervisors")
            return hosts.filter { $0["state"]?.string == "up" }.count >= count
        }
        guard areUp else {
            throw DevFailure("not all of \(count) hosts are up after \(Self.healthLimit.components.seconds) s")
        }
    }

    private func step<Result: Sendable>(_ title: String, _ body: () async throws -> Result) async throws -> Result {
        try await reporter.step(title, body)
    }

    private static func checkBinaries(_ folder: String, _ layout: DevLayout) throws {
        let missing = Set(layout.services.map(\.process.binary)).sorted().filter {
            !FileSystem.exists("\(folder)/\($0)")
        }
        guard missing.isEmpty else {
            throw DevFailure("\(folder) has no \(missing.joined(separator: ", ")): build them with `swift build`")
        }
    }
}
