package import Primitives

/// Where a database is and how a pool behaves towards it.
package struct PostgresConfiguration: Sendable, Equatable {
    /// How a TCP connection is protected; Unix sockets are never encrypted.
    package enum TransportSecurity: Sendable, Equatable {
        case disabled
        /// Encrypted when the server offers it, without checking who it is.
        case preferred
        case required
        /// Encrypted, and the server's certificate must be signed by `rootCertificate` and name the host. `certificate`
        /// holds the client's own, followed by its key. Both are paths, read for every connection.
        case verified(rootCertificate: String, certificate: String? = nil)
    }

    /// A host name, an IP address, or (starting with "/") the folder of the server's Unix socket.
    package var host: String
    package var port: Int
    package var database: String
    package var user: String
    package var password: PasswordSource?
    package var transportSecurity: TransportSecurity
    /// Shown in pg_stat_activity.
    package var applicationName: String
    /// Schemas that unqualified names are looked up in, first match wins; empty leaves the server's setting.
    package var searchPath: [String]
    /// The most connections a pool opens. Listening takes one more for each listener.
    package var maximumConnections: Int
    /// The most callers that wait for a connection; the next one gets ``PostgresError/poolExhausted`` at once.
    package var maximumWaiters: Int
    /// How long a caller waits for a connection.
    package var waitLimit: Duration
    package var connectTimeout: Duration
    /// The longest a statement may run; `nil` for no limit. Enforced by the server, and by the client a little later.
    package var statementTimeout: Duration?
    /// How long a connection may lie idle before it is closed; one is always kept.
    package var idleLimit: Duration
    /// The most statements kept prepared on each connection; the least recently used goes first.
    package var preparedStatementLimit: Int
    /// How much later than the server the client gives up: on a statement that should have been stopped for its time limit
    /// or because it was cancelled. The connection is dropped then.
    var serverGrace: Duration = .seconds(5)

    package init(
        host: String, port: Int = 5432, database: String, user: String, password: PasswordSource? = nil,
        transportSecurity: TransportSecurity = .preferred, applicationName: String = "cellwright",
        searchPath: [String] = [], maximumConnections: Int = 4, maximumWaiters: Int = 1024,
        waitLimit: Duration = .seconds(5), connectTimeout: Duration = .seconds(5),
        statementTimeout: Duration? = .seconds(30), idleLimit: Duration = .seconds(300),
        preparedStatementLimit: Int = 128
    ) {
        precondition(maximumConnections > 0 && maximumWaiters >= 0, "a pool needs at least one connection")
        precondition(preparedStatementLimit > 0, "a connection keeps at least one statement prepared")
        self.host = host
        self.port = port
        self.database = database
        self.user = user
        self.password = password
        self.transportSecurity = transportSecurity
        self.applicationName = applicationName
        self.searchPath = searchPath
        self.maximumConnections = maximumConnections
        self.maximumWaiters = maximumWaiters
        self.waitLimit = waitLimit
        self.connectTimeout = connectTimeout
        self.statementTimeout = statementTimeout
        self.idleLimit = idleLimit
        self.preparedStatementLimit = preparedStatementLimit
    }
}

extension PostgresConfiguration {
    /// What libpq is told. Environment variables and password files have no say.
    func parameters(password: Secret?) -> [(keyword: String, value: String)] {
        var options = ["-c client_min_messages=warning", "-c timezone=UTC", "-c extra_float_digits=1"]
        if let statementTimeout { options.append("-c statement_timeout=\(max(1, statementTimeout.wholeMilliseconds))") }
        if !searchPath.isEmpty {
            let path = searchPath.map { SQLIdentifier.quoted($0) }.joined(separator: ",")
            options.append("-c search_path=\(Self.escapedOption(path))")
        }
        var list = [
            ("host", host), ("port", String(port)), ("dbname", database), ("user", user),
            ("application_name", applicationName), ("client_encoding", "UTF8"), ("gssencmode", "disable"),
            ("passfile", "/nonexistent"), ("options", options.joined(separator: " ")),
            ("keepalives_idle", "30"), ("keepalives_interval", "10"), ("keepalives_count", "3"),
            ("tcp_user_timeout", "30000"),
        ]
        switch transportSecurity {
        case .disabled: list.append(("sslmode", "disable"))
        case .preferred: list.append(("sslmode", "prefer"))
        case .required: list.append(("sslmode", "require"))
        case .verified(let root, let certificate):
            list += [("sslmode", "verify-full"), ("sslrootcert", root)]
            if let certificate { list += [("sslcert", certificate), ("sslkey", certificate)] }
        }
        if let password { list.append(("password", password.reveal())) }
        return list
    }

    /// Spaces and backslashes separate and escape inside the `options` parameter.
    private static func escapedOption(_ text: String) -> String {
        var escaped = ""
        for character in text {
            if character == " " || character == "\\" { escaped.append("\\") }
            escaped.append(character)
        }
        return escaped
    }
}

extension PostgresConfiguration: CustomStringConvertible {
    package var description: String { "postgresql://\(user)@\(host):\(port)/\(database)" }
}

/// Quotes names for `\(raw:)`.
package enum SQLIdentifier {
    package static func quoted(_ name: String) -> String {
        var text = "\""
        for character in name.unicodeScalars where character != "\0" {
            if character == "\"" { text.unicodeScalars.append(character) }
            text.unicodeScalars.append(character)
        }
        return text + "\""
    }
}
