import AsyncHTTPClient
import NIOCore
import NIOHTTP1

/// Asks a process on this machine how it is.
package enum HealthProbe {
    private static let timeout = TimeAmount.seconds(2)

    /// Whether `/healthz` says 200.
    package static func isHealthy(host: String, port: Int) async -> Bool {
        do {
            let request = HTTPClientRequest(url: "http://\(host):\(port)/healthz")
            return try await HTTPClient.shared.execute(request, timeout: timeout).status.code == 200
        } catch {
            return false  // not yet, whatever the reason
        }
    }
}
