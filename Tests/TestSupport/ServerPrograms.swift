import Glibc

/// Debian's PostgreSQL programs, and who may run them: the server refuses to run as root.
struct ServerPrograms: Sendable {
    struct Owner: Sendable {
        let user: uid_t
        let group: gid_t
    }

    /// Longer than `pg_ctl` waits by itself.
    private static let limit = Duration.seconds(120)

    let folder: String
    /// The user to become, when this process is root.
    let owner: Owner?

    static func find() -> ServerPrograms? {
        guard let folder = newestFolder() else { return nil }
        guard geteuid() == 0 else { return ServerPrograms(folder: folder, owner: nil) }
        guard let entry = getpwnam("postgres") else { return nil }
        return ServerPrograms(folder: folder, owner: Owner(user: entry.pointee.pw_uid, group: entry.pointee.pw_gid))
    }

    /// What to execute to run a program as the server's user.
    func command(_ program: String, _ arguments: [String]) -> [String] {
        let command = ["\(folder)/\(program)"] + arguments
        return owner == nil ? command : ["/usr/sbin/runuser", "-u", "postgres", "--"] + command
    }

    /// Runs a program to its end; its output goes to a file in `within`, whose end is quoted when it fails.
    func run(_ program: String, _ arguments: [String], within: String) throws(PrivatePostgres.Failure) {
        let log = "\(within)/\(program).out"
        let child = try ChildProcess(command(program, arguments), output: log, folder: within)
        guard let code = child.wait(atMost: Self.limit) else {
            kill(child.processID, SIGKILL)
            throw PrivatePostgres.Failure(
                description: "\(program) has not ended within \(Self.limit): \(Self.tail(of: log))")
        }
        guard code == 0 else {
            throw PrivatePostgres.Failure(description: "\(program) ended with \(code): \(Self.tail(of: log))")
        }
    }

    func control(_ arguments: [String], within: String) throws(PrivatePostgres.Failure) {
        try run("pg_ctl", arguments, within: within)
    }

    private static func newestFolder() -> String? {
        let root = "/usr/lib/postgresql"
        guard let stream = opendir(root) else { return nil }
        defer { closedir(stream) }
        var versions: [Int] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if let version = Int(name), access("\(root)/\(name)/bin/initdb", X_OK) == 0 { versions.append(version) }
        }
        return versions.max().map { "\(root)/\($0)/bin" }
    }

    private static func tail(of path: String) -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return "no output" }
        defer { close(descriptor) }
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = read(descriptor, &buffer, buffer.count)
        return String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
    }
}
