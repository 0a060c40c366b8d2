import Glibc
package import PostgresClient
package import Primitives
import Synchronization

/// A PostgreSQL server of this test process alone, in a folder that goes with it. Started by the first test that asks.
///
///     @Suite(.enabled(if: PrivatePostgres.isInstalled, PrivatePostgres.missing)) struct MyTests {
///         let configuration = try await PrivatePostgres.shared().createDatabase()
///
/// A guard process holds the read end of a pipe whose write end only this process has. When it closes, at exit or because
/// this process was killed, the guard stops the server and removes the folder.
package final class PrivatePostgres: Sendable {
    package struct Failure: Error, CustomStringConvertible {
        package let description: String
    }

    /// Whether Debian's server programs are here.
    package static let isInstalled = ServerPrograms.find() != nil
    package static let missing: String = "PostgreSQL's server programs are not installed in /usr/lib/postgresql"

    /// The password of the superuser `postgres` over TCP; the Unix socket asks for none.
    package static let superuserPassword = Secret("private-postgres-superuser")

    private static let instance: Result<PrivatePostgres, Failure> = start()

    /// The server of this process. The first callers wait for the second or so that the start takes.
    package static func shared() async throws(Failure) -> PrivatePostgres {
        try await BlockingWork.run { instance }.get()
    }

    /// A further server for one test alone, which may stop and freeze it. It too ends with this process.
    package static func separate() async throws(Failure) -> PrivatePostgres {
        try await BlockingWork.run { start() }.get()
    }

    /// The folder of the Unix socket.
    package let folder: String
    package let port: Int
    private let programs: ServerPrograms
    private let serverGuard: ServerGuard
    private let nextDatabase = Atomic<Int>(1)
    private let administration: PostgresPool

    private init(folder: String, port: Int, programs: ServerPrograms, serverGuard: ServerGuard) {
        self.folder = folder
        self.port = port
        self.programs = programs
        self.serverGuard = serverGuard
        administration = PostgresPool(
            PostgresConfiguration(
                host: folder, port: port, database: "postgres", user: "postgres", applicationName: "test support",
                maximumConnections: 1, waitLimit: .seconds(60), connectTimeout: .seconds(20), idleLimit: .seconds(1)))
    }

    /// Makes an empty database and says how to reach it: as superuser, over the Unix socket, without a password.
    package func createDatabase() async throws -> PostgresConfiguration {
        let name = "test_\(nextDatabase.add(1, ordering: .relaxed).oldValue)"
        try await administration.execute(
            Statement(raw: "create database \(name) template template0 strategy file_copy").once)
        return configuration(database: name)
    }

    /// How to reach a database over the Unix socket, without a password.
    package func configuration(database: String, user: String = "postgres") -> PostgresConfiguration {
        PostgresConfiguration(
            host: folder, port: port, database: database, user: user, applicationName: "test",
            waitLimit: .seconds(20), connectTimeout: .seconds(20))
    }

    /// The same over TCP, where the server asks for a password (SCRAM).
    package func tcpConfiguration(
        database: String, user: String = "postgres", password: Secret? = superuserPassword
    ) -> PostgresConfiguration {
        PostgresConfiguration(
            host: "127.0.0.1", port: port, database: database, user: user, password: password.map { .fixed($0) },
            applicationName: "test", waitLimit: .seconds(20), connectTimeout: .seconds(20))
    }

    /// The same over TLS, with the server verified by the ``TestAuthority``.
    package func secureConfiguration(database: String) throws -> PostgresConfiguration {
        var configuration = tcpConfiguration(database: database)
        configuration.transportSecurity = .verified(rootCertificate: try TestAuthority.shared().path)
        return configuration
    }

    /// Has it show another certificate, to be followed by its key, without a restart. Only for a `separate()` server.
    package func serve(_ certificate: Secret) throws(Failure) {
        try Self.write(certificate.reveal(), to: "\(dataFolder)/server.pem", programs)
        try programs.control(["-D", dataFolder, "reload"], within: folder)
    }

    /// Stops the server; every session ends. Only for a `separate()` server.
    package func stop() async throws(Failure) {
        try await control(["-D", dataFolder, "-w", "-t", "60", "-m", "fast", "stop"])
    }

    /// Starts it again at the same place.
    package func start() async throws(Failure) { try await control(startArguments) }

    /// Stops it and starts it again; every session ends.
    package func restart() async throws(Failure) {
        try await stop()
        try await start()
    }

    private var dataFolder: String { "\(folder)/data" }
    private var startArguments: [String] { ["-D", dataFolder, "-w", "-t", "60", "-l", "\(folder)/log", "start"] }

    private func control(_ arguments: [String]) async throws(Failure) {
        try await BlockingWork.run { [programs, folder] in
            Result { () throws(Failure) in try programs.control(arguments, within: folder) }
        }.get()
    }
}

extension PrivatePostgres {
    private static let attempts = 5

    private static func start() -> Result<PrivatePostgres, Failure> {
        guard let programs = ServerPrograms.find() else { return .failure(Failure(description: missing)) }
        do throws(Failure) {
            let folder = try makeFolder(for: programs)
            let serverGuard = try ServerGuard(programs, folder: folder)
            try initialise(folder, programs)
            try writeCertificate(folder, programs)
            return .success(try launch(folder, programs, serverGuard))
        } catch {
            return .failure(error)
        }
    }

    private static func makeFolder(for programs: ServerPrograms) throws(Failure) -> String {
        var template = Array("/tmp/private-postgres-XXXXXX".utf8CString)
        guard let made = mkdtemp(&template) else { throw Failure(description: "no temporary folder: errno \(errno)") }
        let folder = String(cString: made)
        guard chmod(folder, 0o711) == 0 else { throw Failure(description: "chmod \(folder): errno \(errno)") }
        if let owner = programs.owner {
            guard chown(folder, owner.user, owner.group) == 0 else {
                throw Failure(description: "chown \(folder): errno \(errno)")
            }
        }
        return folder
    }

    private static func initialise(_ folder: String, _ programs: ServerPrograms) throws(Failure) {
        try write(superuserPassword.reveal() + "\n", to: "\(folder)/password", programs)
        try programs.run(
            "initdb",
            [
                "-D", "\(folder)/data", "-U", "postgres", "--auth-local=trust", "--auth-host=scram-sha-256",
                "--pwfile=\(folder)/password", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8",
            ], within: folder)
        unlink("\(folder)/password")
    }

    private static func writeCertificate(_ folder: String, _ programs: ServerPrograms) throws(Failure) {
        do {
            let certificate = try TestAuthority.shared().certificate(
                "postgresql", addresses: TestAuthority.serverAddresses)
            try write(certificate.reveal(), to: "\(folder)/data/server.pem", programs)
        } catch {
            throw Failure(description: "the server's certificate: \(error)")
        }
    }

    /// A port that was free a moment ago may be taken when the server comes to it, so this tries several.
    private static func launch(
        _ folder: String, _ programs: ServerPrograms, _ serverGuard: ServerGuard
    ) throws(Failure) -> PrivatePostgres {
        var last = Failure(description: "no free port")
        for _ in 0..<attempts {
            guard let port = freePort() else { continue }
            let settings = """
                listen_addresses = '127.0.0.1'
                port = \(port)
                unix_socket_directories = '\(folder)'
                ssl = on
                ssl_cert_file = 'server.pem'
                ssl_key_file = 'server.pem'
                fsync = off
                full_page_writes = off
                max_connections = 100
                shared_buffers = 32MB
                wal_level = minimal
                max_wal_senders = 0
                autovacuum = off
                log_min_messages = warning
                logging_collector = off

                """
            try write(settings, to: "\(folder)/data/postgresql.conf", programs)
            let server = PrivatePostgres(folder: folder, port: port, programs: programs, serverGuard: serverGuard)
            do throws(Failure) {
                try programs.control(server.startArguments, within: folder)
                return server
            } catch {
                last = error
            }
        }
        throw last
    }

    private static func write(_ text: String, to path: String, _ programs: ServerPrograms) throws(Failure) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Failure(description: "\(path): errno \(errno)") }
        defer { close(descriptor) }
        let bytes = Array(text.utf8)
        guard Glibc.write(descriptor, bytes, bytes.count) == bytes.count else {
            throw Failure(description: "\(path): errno \(errno)")
        }
        if let owner = programs.owner { fchown(descriptor, owner.user, owner.group) }
    }

    private static func freePort() -> Int? {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        return withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                guard bind(descriptor, generic, length) == 0, getsockname(descriptor, generic, &length) == 0 else {
                    return nil
                }
                return Int(UInt16(bigEndian: pointer.pointee.sin_port))
            }
        }
    }
}
