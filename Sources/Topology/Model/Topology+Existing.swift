extension Topology {
    /// A PostgreSQL or RabbitMQ server that somebody else runs, and how to be its administrator.
    package struct ExistingServer: Sendable, Hashable, Codable {
        /// `postgresql://admin@host:5432/postgres` or `amqps://admin@host:5671`; never with a password in it.
        package var url: String
        /// A broker's management API, `https://host:15671`; `nil` for a database.
        package var managementURL: String?
        /// The administrator's password.
        package var password: PasswordSource
        /// Whether it is reached over TLS: see ``Topology/usesTLS(_:)``.
        package var tls: TLSMode
        /// Certificates by which it is verified: a file relative to the topology file; the hosts' own authorities if `nil`.
        package var caFile: String?

        package init(
            url: String, managementURL: String? = nil, password: PasswordSource, tls: TLSMode = .auto,
            caFile: String? = nil
        ) {
            self.url = url
            self.managementURL = managementURL
            self.password = password
            self.tls = tls
            self.caFile = caFile
        }

        /// Host and port of the URL.
        package func endpoint(defaultPort: Int) -> ProcessConfiguration.Endpoint {
            URLParts(url).endpoint(defaultPort: defaultPort)
        }

        /// The same of a broker.
        package var brokerEndpoint: ProcessConfiguration.Endpoint {
            let isSecure = URLParts(url).scheme == "amqps"
            return endpoint(
                defaultPort: isSecure ? EmbeddedBroker.defaultSecurePort : EmbeddedBroker.defaultPort)
        }

        /// The administrator's name, if the URL has one.
        package var user: String? { URLParts(url).user }
    }

    /// Where a password comes from. The topology never holds one.
    package enum PasswordSource: Sendable, Hashable, Codable {
        /// Made by the tool and kept under `.cellwright/`.
        case generated
        /// The first line of a file; relative to the topology file.
        case file(String)
        /// An environment variable of the tool.
        case environment(String)
    }

    /// Whether an existing server is reached over TLS. Its own `tls` says; `auto` is on when the cloud uses TLS or the
    /// server is elsewhere than on loopback, unless the whole topology has it off.
    package func usesTLS(_ server: ExistingServer) -> Bool {
        let parts = URLParts(server.url)
        if parts.scheme == "amqps" { return true }
        switch server.tls {
        case .on: return true
        case .off: return false
        case .auto: return tls != .off && (usesTLS || !Self.isLoopback(parts.endpoint(defaultPort: 0).host))
        }
    }
}

/// What a URL begins with: `scheme://user@host:port`.
struct URLParts {
    let scheme: String
    let user: String?
    private let hostAndPort: Substring

    init(_ url: String) {
        var rest = url[...]
        if let separator = rest.firstRange(of: "://") {
            scheme = String(rest[..<separator.lowerBound])
            rest = rest[separator.upperBound...]
        } else {
            scheme = ""
        }
        rest = rest.prefix { $0 != "/" && $0 != "?" }
        if let at = rest.lastIndex(of: "@") {
            user = Self.decoded(rest[..<at].prefix { $0 != ":" })
            rest = rest[rest.index(after: at)...]
        } else {
            user = nil
        }
        hostAndPort = rest
    }

    func endpoint(defaultPort: Int) -> ProcessConfiguration.Endpoint {
        guard let colon = hostAndPort.lastIndex(of: ":"),
            let port = Int(hostAndPort[hostAndPort.index(after: colon)...])
        else { return .init(host: String(hostAndPort), port: defaultPort) }
        return .init(host: String(hostAndPort[..<colon]), port: port)
    }

    /// `%40` is `@`; what is no such escape stays as it is.
    private static func decoded(_ text: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"), rest.count >= 2,
                let code = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
            {
                bytes.append(code)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
