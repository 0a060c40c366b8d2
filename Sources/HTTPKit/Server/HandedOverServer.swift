import Glibc
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import NIOExtras
import NIOPosix
import ServiceLifecycle

/// Serves a socket that was there before this process and will be there after it: see ``ListeningSocket``. Otherwise as
/// Hummingbird's own server, which only listens on sockets of its own making.
struct HandedOverServer: Service {
    let socket: ListeningSocket
    let responder: APIResponder
    let channel: HTTP1Channel.Configuration
    let certificate: ServerCertificate?
    let connectionLimit: Int
    let logger: Logger
    let onRunning: @Sendable (Int) async -> Void

    func run() async throws {
        let plain = HTTP1Channel(responder: respond, configuration: channel)
        if let certificate {
            try await serve(SecureChannel(base: plain, certificate: certificate))
        } else {
            try await serve(plain)
        }
    }

    private var respond: HTTPChannelHandler.Responder {
        { [responder, logger] request, writer, channel in
            let context = APIContext(source: ApplicationRequestContextSource(channel: channel, logger: logger))
            var response = try await responder.respond(to: request, context: context)
            response.headers[.date] = Self.date()
            try await writer.write(response: response.head, body: response.body)
        }
    }

    private func serve<Child: ServerChildChannel>(_ child: Child) async throws {
        let quiescing = ServerQuiescingHelper(group: MultiThreadedEventLoopGroup.singleton)
        let limit = connectionLimit
        let server: NIOAsyncChannel<Child.Value, Never> = try await ServerBootstrap(
            group: MultiThreadedEventLoopGroup.singleton
        )
        .serverChannelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                let operations = channel.pipeline.syncOperations
                try operations.addHandler(AvailableConnectionsChannelHandler(maxConnections: limit))
                try operations.addHandler(quiescing.makeServerChannelHandler(channel: channel))
            }
        }
        .childChannelOption(.allowRemoteHalfClosure, value: true)
        .bind(socket.descriptor) { channel in child.setup(channel: channel, logger: logger) }
        await onRunning(server.channel.localAddress?.port ?? 0)
        logger.info("serving a socket that outlives this process")
        try await withGracefulShutdownHandler {
            try await withThrowingDiscardingTaskGroup { group in
                try await server.executeThenClose { inbound in
                    for try await connection in inbound {
                        group.addTask { await child.handle(value: connection, logger: logger) }
                    }
                }
            }
        } onGracefulShutdown: {
            quiescing.initiateShutdown(promise: nil)
        }
    }

    /// As the `Date` header wants it.
    private static func date() -> String {
        var now = time(nil)
        var parts = tm()
        gmtime_r(&now, &parts)
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { buffer in
            let count = strftime(buffer.baseAddress, buffer.count, "%a, %d %b %Y %H:%M:%S GMT", &parts)
            return String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
    }
}
