package import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import ServiceLifecycle

/// `/healthz` (200 or 503) and `/metrics` of a process that has no API: bare SwiftNIO, because every host runs one.
package struct OpsServer: Service {
    private let settings: OpsSettings
    private let health: HealthRegistry
    private let metrics: PrometheusRegistry
    private let logger: Logger

    package init(settings: OpsSettings, health: HealthRegistry, metrics: PrometheusRegistry, logger: Logger) {
        self.settings = settings
        self.health = health
        self.metrics = metrics
        self.logger = logger
    }

    package func run() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        do {
            let channel = try await ServerBootstrap(group: group)
                .serverChannelOption(.backlog, value: 16)
                .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
                .childChannelInitializer { [health, metrics] channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.configureHTTPServerPipeline()
                        try channel.pipeline.syncOperations.addHandler(OpsHandler(health: health, metrics: metrics))
                    }
                }
                .bind(host: settings.host, port: settings.port).get()
            logger.info("operations endpoint is listening", metadata: ["ops.port": "\(settings.port)"])
            try? await gracefulShutdown()  // cancellation ends the wait just as well
            try await channel.close()
        } catch {
            try await group.shutdownGracefully()
            throw error
        }
        try await group.shutdownGracefully()
    }
}

private final class OpsHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let health: HealthRegistry
    private let metrics: PrometheusRegistry
    private var head: HTTPRequestHead?

    init(health: HealthRegistry, metrics: PrometheusRegistry) {
        self.health = health
        self.metrics = metrics
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): self.head = head
        case .body: break
        case .end:
            guard let head else { return }
            self.head = nil
            answer(head, context: context)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error _: any Error) { context.close(promise: nil) }

    private func answer(_ head: HTTPRequestHead, context: ChannelHandlerContext) {
        let status: HTTPResponseStatus
        let type: String
        let text: String
        switch head.uri {
        case "/healthz":
            let (isUp, json) = health.render()
            (status, type, text) = (isUp ? .ok : .serviceUnavailable, "application/json", json)
        case "/metrics": (status, type, text) = (.ok, "text/plain; version=0.0.4", metrics.render())
        default: (status, type, text) = (.notFound, "text/plain", "try /healthz or /metrics\n")
        }
        let body = context.channel.allocator.buffer(string: text)
        let headers: HTTPHeaders = ["Content-Type": type, "Content-Length": "\(body.readableBytes)"]
        context.write(
            wrapOutboundOut(.head(HTTPResponseHead(version: head.version, status: status, headers: headers))),
            promise: nil)
        if head.method != .HEAD { context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil) }
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        if !head.isKeepAlive { context.close(promise: nil) }
    }
}
