import HTTPTypes
import Hummingbird
import NIOCore
import Primitives

/// What the server answers itself: `/healthz` and `/metrics`, and a plain 404 for paths of no service.
package struct OperationsEndpoints: Sendable {
    package struct Health: Sendable {
        package var isHealthy: Bool
        /// JSON text that says why, without secrets.
        package var body: String
        package init(isHealthy: Bool, body: String) {
            self.isHealthy = isHealthy
            self.body = body
        }
    }

    private let health: @Sendable () async -> Health
    private let metrics: @Sendable () async -> String

    /// - Parameter metrics: Prometheus text.
    package init(health: @escaping @Sendable () async -> Health, metrics: @escaping @Sendable () async -> String) {
        self.health = health
        self.metrics = metrics
    }

    func respond(to name: String, method: HTTPRequest.Method) async -> Response {
        guard ["healthz", "metrics"].contains(name) else {
            return .json(
                ["error": ["code": 404, "title": "Not Found", "message": "There is no such service here."]],
                status: .notFound)
        }
        guard method == .get || method == .head else {
            return .empty(.methodNotAllowed, headers: [.allow: "GET, HEAD"])
        }
        guard name == "healthz" else {
            return Response(
                status: .ok, headers: [.contentType: "text/plain; version=0.0.4"],
                body: ResponseBody(byteBuffer: ByteBuffer(string: await metrics())))
        }
        let state = await health()
        return .json(bytes: ByteBuffer(string: state.body), status: state.isHealthy ? .ok : .serviceUnavailable)
    }
}
