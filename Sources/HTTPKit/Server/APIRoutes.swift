package import HTTPTypes
package import Hummingbird

/// The routes of one service while it is being built. Has `get`, `post`, `put`, `patch`, `delete`, `head` and `group` as
/// every Hummingbird router has them.
package final class APIRoutes: RouterMethods {
    package typealias Context = APIContext

    private static let methods: [HTTPRequest.Method] = [.get, .head, .post, .put, .patch, .delete, .options]

    private let prefix: RouterPath
    private let router: Router<APIContext>
    private var known: [String: (path: RouterPath, methods: Set<HTTPRequest.Method>)] = [:]

    init(service: any APIService) {
        prefix = RouterPath(service.path)
        router = Router(context: APIContext.self, options: .autoGenerateHeadEndpoints)
        router.add(middleware: FaultMiddleware(faults: service.faults))
    }

    @discardableResult
    package func on<Responder: HTTPResponder>(
        _ path: RouterPath, method: HTTPRequest.Method, responder: Responder
    ) -> Self where Responder.Context == APIContext {
        let full = prefix.appendingPath(path)
        router.on(full, method: method, responder: responder)
        known[full.description, default: (full, [])].methods.insert(method)
        return self
    }

    /// Runs for routes added after this call.
    @discardableResult
    package func add(middleware: any MiddlewareProtocol<Request, Response, APIContext>) -> Self {
        router.add(middleware: middleware)
        return self
    }

    /// The finished responder, with a 405 for each method that a known path lacks.
    func build() -> RouterResponder<APIContext> {
        for (path, methods) in known.values {
            var allowed = methods
            if methods.contains(.get) { allowed.insert(.head) }
            let refusal = APIFault.methodNotAllowed(Array(allowed))
            for method in Self.methods where !allowed.contains(method) {
                router.on(path, method: method) { _, _ -> Response in throw refusal }
            }
        }
        return router.buildResponder()
    }
}
