import FoundationEssentials

/// One host reached by OpenSSH. All calls share one connection (a control master), opened by ``open()``.
package struct SSHConnection: HostConnection {
    static let connectTimeoutSeconds = 10
    static let uploadTimeout = Duration.seconds(300)
    /// ssh's own failures, as opposed to the remote command's, have this status.
    static let transportFailure: Int32 = 255

    package let target: SSHTarget
    let controlPath: String

    package var name: String { target.name }

    /// - Parameter controlFolder: a private folder with a short path (the limit for sockets is 107 bytes).
    package init(target: SSHTarget, controlFolder: String) {
        self.target = target
        controlPath = "\(controlFolder)/\(target.name)"
    }

    /// Opens the shared connection; an open one is kept.
    package func open() async throws {
        let arguments = base + ["-M", "-N", "-f", "-o", "ControlPersist=yes", target.address]
        if try await isOpen() { return }
        let result = try await command(arguments, timeout: .seconds(Self.connectTimeoutSeconds + 10)).run()
        guard result.status == 0 else {
            throw HostFailure(host: name, what: "connect", reason: .unreachable(result.complaint))
        }
    }

    /// Ends the shared connection and its process.
    package func close() async {
        do {
            _ = try await command(base + ["-O", "exit", target.address], timeout: .seconds(5)).run()
        } catch {
            // Nothing to end.
        }
    }

    package func isOpen() async throws -> Bool {
        try await command(base + ["-O", "check", target.address], timeout: .seconds(5)).run().status == 0
    }

    package func run(_ script: String, timeout: Duration) async throws -> CommandResult {
        let shell = target.user == "root" ? "exec bash -s" : "exec sudo -n bash -s"
        var remote = command(base + ["-T", target.address, "--", shell], timeout: timeout)
        remote.input = Data(Self.wrapped(script).utf8)
        return try await answer(what: "script", timeout: timeout) { try await remote.run() }
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
    /// read from standard input.
    static func wrapped(_ script: String) -> String {
        "cellwright_main() {\nset -eu\n\(script)\n}\ncellwright_main </dev/null\n"
    }

    /// What a host runs to take a file. Nothing in it is secret: it is visible in the host's process list.
    static func receiver(digest: String, destination: String, mode: String, owner: String) -> String {
        let target = ShellQuoting.quoted(destination)
        let owner = ShellQuoting.quoted("\(owner):\(owner)")
        return """
            set -eu; umask 077; mkdir -p "$(dirname \(target))"; t=$(mktemp \(target).XXXXXX); trap 'rm -f "$t"' EXIT
            gzip -dc > "$t"
            printf '%s  %s\\n' \(ShellQuoting.quoted(digest)) "$t" | sha256sum --check --status
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
