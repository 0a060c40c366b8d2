/// How to log in to one host by OpenSSH.
package struct SSHTarget: Sendable, Hashable {
    /// The host's name in the topology: for messages, and the alias its key is known under.
    package var name: String
    package var address: String
    package var port: Int
    package var user: String
    /// Private key; OpenSSH's own choice (agent, default keys) when absent.
    package var identityFile: String?
    /// Known host keys, under ``name``; the user's own file, under the address, when absent.
    package var knownHostsFile: String?
    /// `[user@]host[:port]` to go through.
    package var jump: String?

    package init(
        name: String, address: String, port: Int = 22, user: String = "root", identityFile: String? = nil,
        knownHostsFile: String? = nil, jump: String? = nil
    ) {
        self.name = name
        self.address = address
        self.port = port
        self.user = user
        self.identityFile = identityFile
        self.knownHostsFile = knownHostsFile
        self.jump = jump
    }

    /// Options common to every ssh call for this host. They name files and never hold a secret.
    /// - Parameter controlPath: the socket through which calls share one connection.
    package func arguments(controlPath: String) -> [String] {
        var options = [
            "BatchMode=yes", "StrictHostKeyChecking=yes", "PasswordAuthentication=no", "LogLevel=ERROR",
            "ConnectTimeout=\(SSHConnection.connectTimeoutSeconds)", "ServerAliveInterval=5", "ServerAliveCountMax=3",
            "ForwardAgent=no", "ForwardX11=no", "ClearAllForwardings=yes", "EscapeChar=none",
            "ControlPath=\(controlPath)", "Port=\(port)", "User=\(user)",
        ]
        if let knownHostsFile {
            options += [
                "UserKnownHostsFile=\"\(knownHostsFile)\"", "GlobalKnownHostsFile=/dev/null", "HostKeyAlias=\(name)",
            ]
        }
        if let identityFile { options += ["IdentityFile=\"\(identityFile)\"", "IdentitiesOnly=yes"] }
        if let jump { options.append("ProxyJump=\(jump)") }
        return options.flatMap { ["-o", $0] }
    }
}
