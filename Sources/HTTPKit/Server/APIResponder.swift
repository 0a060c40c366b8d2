import CloudModel
import FoundationEssentials
import HTTPTypes
package import Hummingbird
import Logging
import Primitives

/// The way of every request: an id, the service by its path, the answer, the access log.
package struct APIResponder: HTTPResponder {
    package typealias Context = APIContext

    private struct Mount: Sendable {
        let service: any APIService
        let responder: RouterResponder<APIContext>
    }

    private let mounts: [String: Mount]
    private let configuration: HTTPServerConfiguration
    private let ids: any IDSource
    private let clock: any Clock<Duration>
    private let operations: OperationsEndpoints
    private let metrics = RequestMetrics()

    init(
        configuration: HTTPServerConfiguration, services: [any APIService], operations: OperationsEndpoints,
        ids: any IDSource, clock: any Clock<Duration>
    ) {
        var mounts: [String: Mount] = [:]
        for service in services {
            let routes = APIRoutes(service: service)
            service.addRoutes(to: routes)
            let key = Self.firstComponent(service.path)
            precondition("/\(key)" == service.path && mounts[key] == nil, "a service's path is one word of its own")
            mounts[key] = Mount(service: service, responder: routes.build())
        }
        self.mounts = mounts
        self.configuration = configuration
        self.operations = operations
        self.ids = ids
        self.clock = clock
    }

    package func respond(to request: Request, context: APIContext) async throws -> Response {
        var context = context
        context.requestID = "req-\(ids.uuid().uuidString.lowercased())"
        context.globalRequestID = request.headers[.openStackRequestID].flatMap(Self.wellFormedRequestID)
        context.idempotencyKey = request.headers[.idempotencyKey].flatMap(Self.wellFormedKey)
        context.logger[metadataKey: "hb.request.id"] = nil
        context.logger[metadataKey: "request.id"] = .string(context.requestID)
        if let id = context.globalRequestID { context.logger[metadataKey: "request.global-id"] = .string(id) }
        context.baseURL = BaseURL.resolve(
            request, publicURL: configuration.publicURL, fallback: configuration.fallbackURL)

        let key = Self.firstComponent(request.uri.path)
        let mount = mounts[key]
        var (response, duration) = await timed(clock) { [context] in
            await answer(request, context, key: key, mount: mount)
        }
        response.headers[.openStackRequestID] = context.requestID
        if key == "compute" { response.headers[.computeRequestID] = context.requestID }
        let service = mount?.service.name ?? "none"
        metrics.record(service: service, method: request.method, status: response.status, duration: duration)
        log(request, context, status: response.status, service: service, duration: duration)
        return response
    }

    private func answer(_ request: Request, _ context: APIContext, key: String, mount: Mount?) async -> Response {
        guard let mount else {
            let response = await operations.respond(to: key, method: request.method)
            return request.method == .head ? response.createHeadResponse() : response
        }
        var context = context
        context.bodyLimit = mount.service.bodyLimit
        context.serviceURL = context.baseURL + mount.service.path
        do {
            let response = try await mount.responder.respond(to: request, context: context)
            return request.method == .head ? response.createHeadResponse() : response
        } catch {
            // The fault middleware answers everything that routes throw; this is for what Hummingbird itself throws.
            context.logger.error("request failed", metadata: ["error": "\(ErrorChain(error))"])
            return mount.service.faults.render(.internal(), context: context)
        }
    }

    private func log(
        _ request: Request, _ context: APIContext, status: HTTPResponse.Status, service: String, duration: Duration
    ) {
        let level: Logger.Level = service == "none" ? .debug : .info
        guard context.logger.logLevel <= level else { return }
        var metadata: Logger.Metadata = [
            "http.method": .string(request.method.rawValue), "http.path": .string(request.uri.path),
            "http.status": .stringConvertible(status.code), "http.service": .string(service),
            "duration.ms": .string(Self.milliseconds(duration)),
        ]
        if let peer = context.record.peer { metadata["client.address"] = .string(peer) }
        if let caller = context.record.caller {
            metadata["user.id"] = .string(caller.userID.text)
            if let project = caller.projectID { metadata["project.id"] = .string(project.text) }
        }
        context.logger.log(level: level, "request answered", metadata: metadata)
    }

    private static func milliseconds(_ duration: Duration) -> String {
        let microseconds = duration / .microseconds(1)
        return String((microseconds / 100).rounded() / 10)
    }

    private static func firstComponent(_ path: String) -> String {
        path.split(separator: "/", maxSplits: 1).first.map(String.init) ?? ""
    }

    /// `req-` and a UUID; anything else a client sends is not repeated.
    private static func wellFormedRequestID(_ text: String) -> String? {
        guard text.hasPrefix("req-"), text.utf8.count == 40, Identifier<Never>(text.dropFirst(4)) != nil else {
            return nil
        }
        return text
    }

    /// 1 to 64 letters, digits, hyphens and underscores, in quotes or not.
    private static func wellFormedKey(_ text: String) -> String? {
        var key = text[...]
        if key.utf8.count >= 2, key.hasPrefix("\""), key.hasSuffix("\"") { key = key.dropFirst().dropLast() }
        let isWellFormed =
            (1...64).contains(key.utf8.count)
            && key.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-" || $0 == "_") }
        return isWellFormed ? String(key) : nil
    }
}

/// The result of `body` and how long it took. A function of its own because that opens the existential clock.
private func timed<Outcome>(
    _ clock: some Clock<Duration>, _ body: () async -> Outcome
) async -> (Outcome, Duration) {
    let start = clock.now
    let outcome = await body()
    return (outcome, start.duration(to: clock.now))
}
