import CloudModel
import Deployer
import FoundationEssentials
import Glibc
import MessageBus
import Persistence
import PostgresClient
import Primitives
import RabbitMQTransport
import ServiceKit
import Simulation

/// A laboratory's database server and broker, used as their administrator.
struct LabServers: Sendable {
    private static let template = "lab_template"

    let ready: DevReady
    let administration: PostgresPool
    /// The root's database.
    let root: PostgresPool
    let rootStore: PostgresRootStore

    init(_ ready: DevReady) throws {
        self.ready = ready
        guard let cell = ready.cells.first(where: { $0.path == "/" }) else { throw LabFailure("there is no root") }
        administration = PostgresPool(try Self.configuration(ready, database: "postgres", sessions: 2))
        root = PostgresPool(try Self.configuration(ready, database: cell.resource, sessions: 2))
        rootStore = PostgresRootStore(
            pool: root, ports: .network(PostgresNetworkStore(pool: root, ids: SystemIDSource())))
    }

    func close() async {
        await root.close(grace: .seconds(1))
        await administration.close(grace: .seconds(1))
    }

    private static func configuration(
        _ ready: DevReady, database: String, sessions: Int
    ) throws -> PostgresConfiguration {
        PostgresConfiguration(
            host: ready.database.host, port: ready.database.port, database: database, user: ready.database.user,
            password: try SettingsFile.password(at: ready.database.passwordFile), transportSecurity: .disabled,
            applicationName: "laboratory", maximumConnections: sessions, waitLimit: .seconds(60),
            connectTimeout: .seconds(30), statementTimeout: .seconds(300), idleLimit: .seconds(3600))
    }

    // MARK: Databases

    /// Makes the database that those of all cells are copies of.
    func makeTemplate() async throws {
        try await administration.execute(Statement(raw: "create database \(Self.template)").once)
        let pool = PostgresPool(try Self.configuration(ready, database: Self.template, sessions: 1))
        _ = try await CellSchemas.migrate(pool, .leaf)
        await pool.close(grace: .seconds(1))
    }

    /// Makes a leaf's database.
    func makeDatabase(of cell: CellPath, sessions: Int) async throws -> PostgresPool {
        let name = "lab_\(cell.components.joined(separator: "_"))"
        try await administration.execute(Statement(raw: "create database \(name) template \(Self.template)").once)
        return PostgresPool(try Self.configuration(ready, database: name, sessions: sessions))
    }

    /// Sessions of the root's processes with the root's database.
    func rootSessions() async throws -> [Int32] {
        try await root.query(
            """
            select pid from pg_stat_activity
            where datname = current_database() and application_name <> 'laboratory' and backend_type = 'client backend'
            """
        ).column(as: Int32.self)
    }

    /// What a server's own upkeep does within minutes.
    func analyze() async throws {
        for table in ["directory.instances", "directory.hosts", "placement.providers", "placement.inventories"] {
            try await root.execute(Statement(raw: "vacuum analyze \(table)").once)
        }
    }

    // MARK: What the root knows

    func cellsUp() async throws -> Int { try await count("select count(*) from directory.cells where health = 'up'") }

    func hostsUp() async throws -> Int { try await count("select count(*) from directory.hosts where is_up") }

    /// Servers in the directory; nil while it is being read again.
    func servers() async throws -> Int? {
        let gaps: Statement = """
            select (select count(*) from directory.cells where resync_wanted) + (select count(*) from directory.gaps)
            """
        guard try await count(gaps) == 0 else { return nil }
        return try await count("select count(*) from directory.instances")
    }

    func uses() async throws -> Int { try await count("select count(*) from quota.uses") }

    func readAgain(_ cell: CellPath) async throws { _ = try await rootStore.requestResync(of: cell) }

    private func count(_ rows: Statement) async throws -> Int { try await root.query(rows).scalar(as: Int.self) ?? 0 }

    // MARK: Broker

    /// A connection of a cell's own control plane to its virtual host.
    func connect(_ cell: CellPath, as name: String) throws -> any MessageBus {
        guard let path = ready.cells.first(where: { $0.path == cell.description })?.supervisor else {
            throw LabFailure("there is no cell \(cell)")
        }
        let bus = try SettingsFile.load(SupervisorSettings.self, from: path).bus
        return try RabbitMQConnection(
            RabbitMQConfiguration(
                host: bus.host, port: bus.port, vhost: bus.vhost, user: bus.user,
                password: try SettingsFile.password(at: bus.passwordFile), heartbeat: .seconds(30),
                connectionName: "\(name)@\(cell)", keepsMessages: false)
        ) { _ in }
    }

    // MARK: Processes

    func pids(of names: String...) -> [Int32] { ready.processes.filter { names.contains($0.name) }.map(\.pid) }

    /// Everything that runs, this program included.
    var everything: [Int32] { ready.processes.flatMap { ProcessMeter.tree(of: $0.pid) } + [getpid()] }
}

/// Something that a laboratory needs and that is not as it must be.
struct LabFailure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}
