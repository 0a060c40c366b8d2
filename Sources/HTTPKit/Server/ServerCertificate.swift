import Glibc
import HummingbirdCore
import Logging
import NIOCore
import NIOSSL
import Synchronization

/// The server's certificate with its key, in one file. A file that was replaced is used from the next connection on, so
/// that a certificate is renewed without a restart.
final class ServerCertificate: Sendable {
    private struct State {
        var identity: String
        var context: NIOSSLContext
    }

    private let path: String
    private let state: Mutex<State>

    init(path: String) throws {
        self.path = path
        let identity = Self.identity(path)
        state = Mutex(State(identity: identity, context: try Self.load(path)))
    }

    /// For a new connection. While the file can't be used, what was read before goes on.
    func context(logger: Logger) -> NIOSSLContext {
        let identity = Self.identity(path)
        return state.withLock { state in
            guard identity != state.identity else { return state.context }
            // Also when it fails: the same file is not tried again and again.
            state.identity = identity
            do {
                state.context = try Self.load(path)
                logger.notice("certificate read anew")
            } catch {
                logger.error("the new certificate can't be used", metadata: ["error": "\(error)"])
            }
            return state.context
        }
    }

    private static func load(_ path: String) throws -> NIOSSLContext {
        let chain = try NIOSSLCertificate.fromPEMFile(path).map { NIOSSLCertificateSource.certificate($0) }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain, privateKey: .privateKey(try NIOSSLPrivateKey(file: path, format: .pem)))
        configuration.minimumTLSVersion = .tlsv12
        configuration.applicationProtocols = ["http/1.1"]
        return try NIOSSLContext(configuration: configuration)
    }

    /// Changes whenever the file is written or replaced.
    private static func identity(_ path: String) -> String {
        var status = stat()
        guard stat(path, &status) == 0 else { return "none" }
        return "\(status.st_dev) \(status.st_ino) \(status.st_size) \(status.st_mtim.tv_sec) \(status.st_mtim.tv_nsec)"
    }
}

/// An HTTP/1.1 connection inside TLS.
struct SecureChannel: ServerChildChannel {
    typealias Value = HTTP1Channel.Value

    let base: HTTP1Channel
    let certificate: ServerCertificate

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(
                NIOSSLServerHandler(context: certificate.context(logger: logger)))
        }.flatMap { base.setup(channel: channel, logger: logger) }
    }

    func handle(value: Value, logger: Logger) async { await base.handle(value: value, logger: logger) }
}
