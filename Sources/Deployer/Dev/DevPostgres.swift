import CloudModel
import FoundationEssentials
import Glibc
import Primitives
import Subprocess
import Topology

/// A private PostgreSQL of a development cloud: loopback only, passwords for everybody, data that need not last.
struct DevPostgres: Sendable {
    static let readyLimit = Duration.seconds(20)
    private static let removedAtOnce = 16
    static let administrator = "postgres"
    static let administratorSecret = SecretName.user("postgres-administrator")

    let layout: DevLayout
    let programs: String
    /// Who runs it: `postgres` when this process is root, which the server refuses to run as.
    let owner: DevUser?
    let name: String
    let port: Int
    /// Cells that have their databases there.
    let cells: [Topology.Cell]
    private let folder: String
    private let furtherSettings: [String]

    private init(
        layout: DevLayout, name: String, port: Int, cells: [Topology.Cell], folder: String,
        furtherSettings: [String] = []
    ) throws {
        self.furtherSettings = furtherSettings
        self.layout = layout
        self.name = name
        self.port = port
        self.cells = cells
        self.folder = folder
        programs = try Self.findPrograms()
        owner = try Self.findOwner()
    }

    /// The server that cells share, then those of cells with one of their own.
    static func servers(_ layout: DevLayout, _ options: DevOptions) throws -> [DevPostgres] {
        let own = layout.ports.ownDatabases
        let cells = layout.topology.cells.filter { $0.path.isRoot || !options.isRootOnly }
        let shared = try DevPostgres(
            layout: layout, name: "postgresql", port: layout.ports.database,
            cells: cells.filter { own[$0.path] == nil }, folder: layout.databaseFolder,
            furtherSettings: options.databaseSettings)
        return try [shared]
            + cells.compactMap { cell in
                try own[cell.path].map { port in
                    try DevPostgres(
                        layout: layout, name: "postgresql-\(cell.path.slug)", port: port, cells: [cell],
                        folder: "\(layout.databaseFolder)/\(cell.path.slug)")
                }
            }
    }

    /// Makes the folder for the server's data: inside `folder`, or where `postgres` may go when this process is root.
    static func makeFolder(inside folder: String) throws -> String {
        guard let owner = try findOwner() else {
            let own = "\(folder)/postgresql"
            try FileSystem.makeFolder(own)
            return own
        }
        var template = Array("/tmp/cellwright-dev-XXXXXX".utf8CString)
        guard let made = mkdtemp(&template) else { throw DevFailure("a folder in /tmp can't be made") }
        let own = String(cString: made)
        guard chown(own, owner.user, owner.group) == 0 else {
            throw DevFailure("\(own) can't be given to the user postgres")
        }
        return own
    }

    private static func findOwner() throws -> DevUser? {
        guard geteuid() == 0 else { return nil }
        guard let user = DevUser(name: "postgres") else {
            throw DevFailure("PostgreSQL does not run as root, and there is no user `postgres` to run it")
        }
        return user
    }

    func specification() -> DevProcess.Specification {
        .init(
            name: name, program: "\(programs)/postgres", arguments: ["-D", data],
            environment: ["PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"], isIsolated: true, owner: owner,
            log: layout.log(name), stopSignal: .interrupt, emergencySignal: "QUIT",
            hold: "\(layout.holdFolder)/\(name)")
    }

    /// Makes the data folder.
    func initialise(_ password: String) async throws {
        // Read once and gone; the server keeps only the SCRAM verifier.
        if folder != layout.databaseFolder {
            try FileSystem.makeFolder(folder)
            if let owner, chown(folder, owner.user, owner.group) != 0 {
                throw DevFailure("\(folder) can't be given to the user postgres")
            }
        }
        let passwordFile = "\(folder)/password"
        try PrivateFile.write("\(password)\n", to: passwordFile)
        if let owner { chown(passwordFile, owner.user, owner.group) }
        defer { unlink(passwordFile) }
        let become = owner.map { ["--reuid=\($0.user)", "--regid=\($0.group)", "--clear-groups", "--"] } ?? ["--"]
        try await LocalCommand(
            "/usr/bin/setpriv",
            become + [
                "\(programs)/initdb", "-D", data, "-U", Self.administrator, "-A", "scram-sha-256",
                "--pwfile=\(passwordFile)", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8",
            ],
            environment: ["LC_ALL": "C.UTF-8"], timeout: .seconds(60)
        ).check()
        try appendSettings(Self.settings(port: port) + furtherSettings)
    }

    /// Waits until it serves.
    func waitUntilReady() async throws {
        let isReady = try await poll(every: .milliseconds(20), for: Self.readyLimit) {
            guard DevPorts.answers(port) else { return false }
            guard let text = FileManager.default.contents(atPath: "\(data)/postmaster.pid") else { return false }
            return String(decoding: text, as: UTF8.self).contains("\nready")
        }
        guard isReady else {
            throw DevFailure(
                "PostgreSQL is not ready after \(Self.readyLimit.components.seconds) s; its log ends with:\n"
                    + DevProcess.tail(of: layout.log(name)))
        }
    }

    /// Makes a role and a database for every cell.
    func createDatabases(_ secrets: SecretStore) async throws {
        var sql = ""
        for cell in cells {
            let name = cell.path.resourceName
            let password = try secrets.value(.database(cell.path)).reveal()
            sql += """
                create role "\(name)" login password '\(password)';
                create database "\(name)" owner "\(name)" template template0 strategy file_copy;
                revoke connect on database "\(name)" from public;

                """
        }
        try await LocalCommand(
            "\(programs)/psql",
            [
                "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", String(port), "-U",
                Self.administrator, "-d", "postgres", "-f", "-",
            ],
            input: Data(sql.utf8), environment: ["PGPASSFILE": try passwordFile(secrets), "PGCONNECT_TIMEOUT": "10"]
        ).check()
    }

    /// Removes the databases of a server that has ended. Each has hundreds of files, for each of which a file system may
    /// take its time: many are removed at once.
    func removeDatabases() async throws {
        let base = "\(data)/base"
        let folders = try FileManager.default.contentsOfDirectory(atPath: base)
        _ = try await parallelMap(folders, limit: Self.removedAtOnce) { folder in
            try await LocalCommand("/bin/rm", ["-rf", "--", "\(base)/\(folder)"]).check()
        }
    }

    private var data: String { "\(folder)/data" }

    private func passwordFile(_ secrets: SecretStore) throws -> String {
        let path = "\(layout.secrets)/pgpass-\(name)"
        let password = try secrets.value(Self.administratorSecret).reveal()
        try PrivateFile.write("127.0.0.1:\(port):*:\(Self.administrator):\(password)\n", to: path)
        return path
    }

    private func appendSettings(_ settings: [String]) throws {
        let path = "\(data)/postgresql.conf"
        guard let file = fopen(path, "ae") else { throw DevFailure("\(path) can't be written") }
        defer { fclose(file) }
        for setting in settings { fputs("\(setting)\n", file) }
    }

    private static func settings(port: Int) -> [String] {
        [
            "listen_addresses = '127.0.0.1'", "port = \(port)", "unix_socket_directories = ''",
            "max_connections = 500", "shared_buffers = 64MB", "fsync = off", "full_page_writes = off",
            "synchronous_commit = on", "wal_level = minimal", "max_wal_senders = 0", "log_min_messages = warning",
            "logging_collector = off",
        ]
    }

    private static func findPrograms() throws -> String {
        let root = "/usr/lib/postgresql"
        let versions = FileSystem.exists(root) ? try FileManager.default.contentsOfDirectory(atPath: root) : []
        let folders = versions.compactMap(Int.init).sorted(by: >).map { "\(root)/\($0)/bin" }
        guard let folder = folders.first(where: { FileSystem.exists("\($0)/initdb") }) else {
            throw DevFailure("PostgreSQL is not installed: apt-get install postgresql")
        }
        return folder
    }
}
