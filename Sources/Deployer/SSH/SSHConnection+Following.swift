extension SSHConnection {
    /// Runs a command as root and hands over each line that it writes, until it ends or is cancelled.
    /// - Parameter command: shell words; it stands in the host's list of processes, so it holds no secret.
    func follow(
        _ command: String, timeout: Duration, _ onLine: @escaping @Sendable (String) -> Void
    ) async throws {
        let sudo = target.user == "root" ? "" : "sudo -n "
        let arguments =
            target.arguments(controlPath: controlPath) + ["-T", target.address, "--", "exec \(sudo)\(command)"]
        try await LocalCommand("ssh", arguments, timeout: timeout).follow(onLine)
    }
}
