import NIOCore
import NIOPosix
import NIOSSL

/// A server that ends every TLS handshake with this certificate and then says nothing: enough to see whether a client
/// accepts the certificate.
package struct TLSListener: Sendable {
    private let group: MultiThreadedEventLoopGroup
    private let channel: any Channel

    package var port: Int { channel.localAddress?.port ?? 0 }

    /// - Parameter certificate: path of the certificate with its key.
    package init(certificate: String) async throws {
        let chain = try NIOSSLCertificate.fromPEMFile(certificate).map { NIOSSLCertificateSource.certificate($0) }
        let context = try NIOSSLContext(
            configuration: .makeServerConfiguration(
                certificateChain: chain, privateKey: .privateKey(try NIOSSLPrivateKey(file: certificate, format: .pem)))
        )
        group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        channel = try await ServerBootstrap(group: group)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: context))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
    }

    package func close() async throws {
        try await channel.close()
        try await group.shutdownGracefully()
    }
}
