import FoundationEssentials

/// One host reached by OpenSSH. All calls share one connection (a control master), opened by ``open()``.
package struct SSHConnection: HostConnection {
    static let connectTimeoutSeconds = 10
    /// A shared connection without a call ends by itself after so long: one that a killed run left, too.
    static let idleSeconds = 60
    static let uploadTimeout = Duration.seconds(300)
    /// ssh's own failures, as opposed to the remote command's, have this status.
    static let transportFailure: Int32 = 255

    package let target: SSHTarget
    let controlPath: String
    private let bundles = ScriptBundles()

    package var name: String { target.name }

    /// - Parameter controlFolder: a private folder with a short path (the limit for sockets is 107 bytes).
    package init(target: SSHTarget, controlFolder: String) {
        self.target = target
        // Distinct for every way to log in, and short: an address may lead to another machine by another key or jump host.
        let way = target.arguments(controlPath: "").joined(separator: " ") + " " + target.address
        controlPath = "\(controlFolder)/\(Digest.of(way).prefix(16))"
    }

    /// Opens the shared connection; one that is open and leads somewhere is kept.
    package func open() async throws {
        if FileSystem.exists(controlPath) {
            if try await answers() { return }
            await close()
            try FileSystem.remove(controlPath)
        }
        let arguments = base + ["-M", "-N", "-f", "-o", "ControlPersist=\(Self.idleSeconds)", target.address]
        let result = try await command(arguments, timeout: .seconds(Self.connectTimeoutSeconds + 10)).run()
        guard result.status == 0 || isTaken(result) else {
            throw HostFailure(host: name, what: "connect", reason: .unreachable(result.complaint))
        }
    }

    /// Another run opened the same connection at the same moment.
    private func isTaken(_ result: CommandResult) -> Bool {
        result.complaint.contains("ControlSocket") && FileSystem.exists(controlPath)
    }

    private func answers() async throws -> Bool {
        do {
            return try await command(base + [target.address, "--", "true"], timeout: .seconds(3)).run().status == 0
        } catch is CommandFailure {
            return false
        }
    }

    /// Ends the shared connection and its process, whichever run opened it.
    package func close() async {
        guard FileSystem.exists(controlPath) else { return }
        do {
            _ = try await command(base + ["-O", "exit", target.address], timeout: .seconds(5)).run()
        } catch {
            // Nothing to end.
        }
    }

    /// Ends the shared connections to all these that any run has left open, and removes the folder of their sockets when
    /// no other is in it.
    package static func closeAll(_ targets: [SSHTarget]) async throws {
        let folder = try SocketFolder.make()
        _ = try await parallelMap(targets, limit: HostPool.parallel) { target in
            let connection = SSHConnection(target: target, controlFolder: folder)
            await connection.close()
            // Its process takes it away at its very end.
            _ = try await poll(every: .milliseconds(10), for: .seconds(2)) {
                !FileSystem.exists(connection.controlPath)
            }
            // Of one that was killed it is left.
            try FileSystem.remove(connection.controlPath)
        }
        FileSystem.removeIfEmpty(folder)
    }

    package func run(_ script: String, timeout: Duration) async throws -> CommandResult {
        let shell = target.user == "root" ? "exec bash -s" : "exec sudo -n bash -s"
        var remote = command(base + ["-T", target.address, "--", shell], timeout: timeout)
        remote.input = Data(Self.wrapped(script).utf8)
        return try await answer(what: "script", timeout: timeout) { try await remote.run() }
    }

    package func runShort(_ script: String) async throws -> CommandResult {
        try await bundles.run(script) { try await run($0, timeout: Self.shortTimeout) }
    }

    package func upload(
        compressed: String, digest: String, to destination: String, mode: String, owner: String
    ) async throws {
        let sudo = target.user == "root" ? "" : "sudo -n "
        let shell =
            "exec \(sudo)bash -c "
            + ShellQuoting.quoted(
                Self.receiver(digest: digest, destination: destination, mode: mode, owner: owner))
        let remote = command(base + ["-T", target.address, "--", shell], timeout: Self.uploadTimeout)
        let result = try await answer(what: "upload of \(destination)", timeout: Self.uploadTimeout) {
            try await remote.run(inputFile: compressed)
        }
        guard result.status == 0 else {
            throw HostFailure(
                host: name, what: "upload of \(destination)", reason: .status(result.status, result.complaint))
        }
    }

    /// The script as bash reads it: parsed whole before its first command runs, with nothing left for a command in it to
    /// read from standard input. While it runs it holds a share of a lock on the host, see ``awaitOthers``.
    static func wrapped(_ script: String) -> String {
        """
        cellwright_main() {
        set -eu
        \(script)
        }
        if [ -w /run/lock ]; then exec 9>>\(hostLock); flock -s 9; fi
        cellwright_main </dev/null

        """
    }

    static let hostLock = "/run/lock/cellwright"
    /// How long scripts of a run that was killed may take to end.
    static let othersLimit = Duration.seconds(90)

    /// Returns when no script of an earlier run is at work on the host; at the latest after a minute, for nothing that a
    /// script of ours does takes longer but the installing of packages, which may be done twice.
    static let awaitOthers = """
        exec 9>&-
        flock --exclusive --wait 60 \(hostLock) true || true
        """

    /// What a host runs to take a file. Nothing in it is secret: it is visible in the host's process list.
    static func receiver(digest: String, destination: String, mode: String, owner: String) -> String {
        let target = ShellQuoting.quoted(destination)
        let owner = ShellQuoting.quoted("\(owner):\(owner)")
        return """
            set -eu; umask 077; mkdir -p "$(dirname \(target))"; t=$(mktemp \(target).XXXXXX); trap 'rm -f "$t"' EXIT
            gzip -dc > "$t"
            \(HostScript.digests)
            case "$($digests "$t")" in \(digest)*) ;; *) echo 'it arrived altered' >&2; exit 1;; esac
            chown \(owner) "$t"; chmod \(ShellQuoting.quoted(mode)) "$t"; mv -f "$t" \(target)
            """
    }

    private var base: [String] { target.arguments(controlPath: controlPath) }

    private func command(_ arguments: [String], timeout: Duration) -> LocalCommand {
        LocalCommand("ssh", arguments, timeout: timeout)
    }

    private func answer(
        what: String, timeout: Duration, _ body: () async throws -> CommandResult
    ) async throws -> CommandResult {
        do {
            let result = try await body()
            if result.status == Self.transportFailure {
                throw HostFailure(host: name, what: what, reason: .unreachable(result.complaint))
            }
            return result
        } catch let failure as CommandFailure {
            switch failure.reason {
            case .timedOut: throw HostFailure(host: name, what: what, reason: .timedOut(timeout))
            case .notRun(let why), .status(_, let why):
                throw HostFailure(host: name, what: what, reason: .unreachable(why))
            }
        }
    }
}
