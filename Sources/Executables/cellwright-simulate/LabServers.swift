import CellProtocol
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
import Topology

/// A laboratory's database server and broker, used as their administrator.
struct LabServers: Sendable {
    let ready: DevReady
    /// Of all pools: one for each of a thousand cells would be a thousand threads that take turns on a few cores.
    private let thread = PostgresThread()
    let administration: PostgresPool
    /// The root's database.
    let root: PostgresPool
    let rootStore: PostgresRootStore

    /// Where the laboratory finds its database server: as on a cell's own machine, without TCP. The @ puts it in the
    /// namespace of names without files.
    static var databaseSocket: String { "@cellwright-laboratory-\(getpid())" }

    init(_ ready: DevReady) throws {
        self.ready = ready
        guard let cell = ready.cells.first(where: { $0.path == "/" }) else { throw LabFailure("there is no root") }
        administration = PostgresPool(try Self.configuration(ready, database: "postgres", sessions: 1), thread: thread)
        root = PostgresPool(try Self.configuration(ready, database: cell.resource, sessions: 2), thread: thread)
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
            host: databaseSocket, port: ready.database.port, database: database, user: ready.database.user,
            password: try SettingsFile.password(at: ready.database.passwordFile), transportSecurity: .disabled,
            applicationName: "laboratory", maximumConnections: sessions, waitLimit: .seconds(60),
            connectTimeout: .seconds(30), statementTimeout: .seconds(300), idleLimit: .seconds(3600))
    }

    // MARK: Databases

    /// Makes what a cell's database is a copy of.
    func makeTemplate(_ kind: CellKind) async throws {
        let pool = try await makeDatabase(Self.template(kind), from: "template0", sessions: 1)
        _ = try await CellSchemas.migrate(pool, kind)
        await pool.close(grace: .seconds(1))
    }

    private static func template(_ kind: CellKind) -> String { "lab_\(kind)" }

    /// Makes a cell's database.
    func makeDatabase(of cell: CellPath, _ kind: CellKind, sessions: Int) async throws -> PostgresPool {
        let name = "lab_cell_\(cell.components.joined(separator: "_"))"
        return try await makeDatabase(name, from: Self.template(kind), sessions: sessions)
    }

    /// Makes one database for many leaves: pools of one session each, for one leaf after the other. A leaf keeps to its
    /// session, so that each session knows the tables of its own leaves only.
    func makeSharedDatabase(leavesOfASession leaves: Int, sessions: Int) async throws -> [PostgresPool] {
        let name = "lab_leaves"
        await (try makeDatabase(name, from: "template0", sessions: 1)).close(grace: .seconds(1))
        return try (0..<sessions).map { _ in
            try pool(name, sessions: 1) { $0.preparedStatementLimit = Self.statementsOfALeaf * leaves }
        }
    }

    /// More than a leaf has.
    private static let statementsOfALeaf = 128

    /// Makes a leaf's schemas in a database of many leaves.
    func makeSchemas(of leaf: CellPath, in pool: PostgresPool) async throws -> PostgresPool {
        let named = pool.naming(SchemaNames(CellSchema.schemas, prefix: "\(leaf.name)_"))
        _ = try await CellSchemas.migrate(named, .leaf)
        return named
    }

    /// Copied file by file, which takes a quarter of the time that writing a log of it takes.
    private func makeDatabase(_ name: String, from template: String, sessions: Int) async throws -> PostgresPool {
        try await administration.execute(
            Statement(raw: "create database \(name) template \(template) strategy file_copy").once)
        return try pool(name, sessions: sessions)
    }

    private func pool(
        _ database: String, sessions: Int, _ change: (inout PostgresConfiguration) -> Void = { _ in }
    ) throws -> PostgresPool {
        var configuration = try Self.configuration(ready, database: database, sessions: sessions)
        change(&configuration)
        return PostgresPool(configuration, thread: thread)
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

    /// What the database's own upkeep does within minutes in a cloud.
    func analyze() async throws { try await root.execute(Statement(raw: "vacuum analyze").once) }

    /// Without a vacuum: of a thousand leaves in one database that took a minute.
    static func analyze(_ tables: [String], in pool: PostgresPool) async throws {
        try await pool.execute(Statement(raw: "analyze \(tables.joined(separator: ", "))").once)
    }

    // MARK: What the root knows

    /// Of all cells, leaves and branches, that the root thinks up, with what it thinks of the others.
    func cellsUp(of total: Int) async throws -> LabMeasurements.Progress {
        let rows = try await root.query(
            """
            select health, coalesce(reason, health) as reason, count(*) as count from directory.cells
            group by 1, 2 order by 3 desc
            """)
        var progress = LabMeasurements.Progress(0, of: total)
        var others: [String] = []
        for row in rows {
            let count: Int = try row.get("count")
            if try row.get("health", as: String.self) == "up" {
                progress.count += count
            } else {
                others.append("\(count): \(try row.get("reason", as: String.self))")
            }
        }
        if !others.isEmpty { progress.detail = others.joined(separator: "; ") }
        return progress
    }

    func hostsUp() async throws -> Int { try await count("select count(*) from directory.hosts where is_up") }

    func serversKnown() async throws -> Int { try await count("select count(*) from directory.instances") }

    func uses() async throws -> Int { try await count("select count(*) from quota.uses") }

    private func count(_ rows: Statement) async throws -> Int { try await root.query(rows).scalar(as: Int.self) ?? 0 }

    // MARK: Broker

    /// A connection of a cell's own control plane to its virtual host.
    func connect(_ cell: CellPath, as name: String) throws -> any MessageBus {
        let bus = try bus(of: cell)
        return try connect(
            bus, user: bus.user, password: try SettingsFile.password(at: bus.passwordFile), name: "\(name)@\(cell)")
    }

    /// A parent's connection to a child's.
    func connect(to mapping: CellMapping, as name: String) throws -> any MessageBus {
        try connect(
            try bus(of: mapping.path), user: mapping.bus.user, password: .fixed(mapping.bus.password), name: name)
    }

    /// Where a cell's parent finds it.
    func endpoint(of cell: CellPath) throws -> CellMapping.Endpoint {
        let bus = try bus(of: cell)
        let user = "parent.\(cell.slug)"
        return CellMapping.Endpoint(
            host: bus.host, port: bus.port, vhost: bus.vhost, user: user,
            password: try SecretStore(folder: "\(ready.folder)/secrets").value(.broker(user: user)))
    }

    private func bus(of cell: CellPath) throws -> BusSettings {
        guard let path = ready.cells.first(where: { $0.path == cell.description })?.supervisor else {
            throw LabFailure("there is no cell \(cell)")
        }
        return try SettingsFile.load(SupervisorSettings.self, from: path).bus
    }

    private func connect(
        _ bus: BusSettings, user: String, password: PasswordSource, name: String
    ) throws -> any MessageBus {
        try RabbitMQConnection(
            RabbitMQConfiguration(
                host: bus.host, port: bus.port, vhost: bus.vhost, user: user, password: password,
                heartbeat: .seconds(30), connectionName: name, keepsMessages: false)
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
