package import Hummingbird
import HummingbirdCore
package import Logging
import NIOCore
package import Primitives
import ServiceLifecycle

/// How the API process listens.
package struct HTTPServerConfiguration: Sendable {
    package var host: String
    /// 0 takes any free port.
    package var port: Int
    /// What links begin with, without a slash at the end. Nil builds them from `X-Forwarded-*` and `Host`.
    package var publicURL: String?
    /// Path of the certificate followed by its key: then the server speaks HTTPS, else HTTP.
    package var certificateFile: String?
    /// Connections at once; more wait in the backlog.
    package var connectionLimit = 2048
    /// A connection without a request for this long is closed.
    package var idleTimeout: Duration = .seconds(75)
    /// Requests that still run this long after a stop was asked for are cancelled.
    package var drainLimit: Duration = .seconds(6)
    /// How long a connection that has brought no request yet may still bring its first one after a stop was asked for.
    package var firstRequestLimit: Duration = .seconds(2)

    package init(host: String, port: Int, publicURL: String? = nil, certificateFile: String? = nil) {
        self.host = host
        self.port = port
        self.certificateFile = certificateFile
        var url = publicURL
        while url?.hasSuffix("/") == true { url?.removeLast() }
        self.publicURL = url
    }

    var fallbackURL: String {
        "\(certificateFile == nil ? "http" : "https")://\(host.contains(":") ? "[\(host)]" : host):\(port)"
    }
}

/// Serves all REST services on one port until it is told to stop: then it takes no new connection, finishes what it has
/// begun and cancels what is not done within ``HTTPServerConfiguration/drainLimit``.
package struct HTTPServer: Service {
    /// Bytes of one header and of all: tokens are the longest.
    private static let headerLimit = 32 * 1024

    private let application: Application<APIResponder>
    private let configuration: HTTPServerConfiguration
    private let handedOver: @Sendable (ListeningSocket) throws -> HandedOverServer
    private let drainLimit: Duration
    private let clock: any Clock<Duration>

    /// - Parameter onRunning: called with the port once connections are accepted.
    package init(
        configuration: HTTPServerConfiguration, services: [any APIService], operations: OperationsEndpoints,
        ids: any IDSource, clock: any Clock<Duration>, logger: Logger,
        onRunning: @escaping @Sendable (Int) async -> Void = { _ in }
    ) {
        let responder = APIResponder(
            configuration: configuration, services: services, operations: operations, ids: ids, clock: clock)
        let grace = TimeAmount(configuration.firstRequestLimit)
        let channel = HTTP1Channel.Configuration(
            additionalChannelHandlers: [FirstRequestGrace(limit: grace)],
            idleTimeout: TimeAmount(configuration.idleTimeout),
            httpDecoderConfiguration: .init(
                maxHeaderFieldSize: Self.headerLimit, maxHeaderListSize: Self.headerLimit, maxHeaderFieldCount: 100))
        application = Application(
            responder: responder,
            server: HTTPServerBuilder { responder in
                let plain = HTTP1Channel(responder: responder, configuration: channel)
                guard let path = configuration.certificateFile else { return plain }
                return SecureChannel(base: plain, certificate: try ServerCertificate(path: path))
            },
            configuration: ApplicationConfiguration(
                address: .hostname(configuration.host, port: configuration.port),
                availableConnectionsDelegate: MaximumAvailableConnections(configuration.connectionLimit)),
            onServerRunning: { channel in
                if let port = channel.localAddress?.port { await onRunning(port) }
            },
            logger: logger)
        self.configuration = configuration
        handedOver = { socket in
            HandedOverServer(
                socket: socket, responder: responder, channel: channel,
                certificate: try configuration.certificateFile.map { try ServerCertificate(path: $0) },
                connectionLimit: configuration.connectionLimit, logger: logger, onRunning: onRunning)
        }
        drainLimit = configuration.drainLimit
        self.clock = clock
    }

    /// The same without a socket, for tests.
    package var testApplication: Application<APIResponder> { application }

    package func run() async throws {
        let limit = drainLimit
        let kept = try ListeningSocket.open(host: configuration.host, port: configuration.port).map(handedOver)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                if let kept { try await kept.run() } else { try await application.run() }
            }
            group.addTask {
                try await gracefulShutdown()
                try await clock.sleep(for: limit)
            }
            // The server ended by itself, failed, or had its time to drain.
            try await group.next()
            group.cancelAll()
        }
    }
}
