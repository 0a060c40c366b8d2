import CloudModel
import FoundationEssentials
import HTTPKit
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import Logging
import NIOCore
import Primitives
import ServiceLifecycle
import Synchronization
import Testing

private struct Widgets: APIService {
    enum WidgetError: Error, PassingError {
        case taken, broken, away
        var isPassing: Bool { self == .away }
    }

    let name = "widgets"
    let path = "/widgets"
    let bodyLimit = 1000
    let faults: any FaultRenderer = NovaFaults { error in
        (error as? WidgetError) == .taken ? .conflict("Widget is taken.") : nil
    }
    let started = Gate()
    let release = Gate()

    func addRoutes(to routes: APIRoutes) {
        routes.get { _, context in Response.json(["url": .string(context.serviceURL)]) }
        let secured = routes.group("v1").add(middleware: Authentication(FixedValidator()))
        secured.get("items/{id}") { _, context in
            let id: ServerID = try context.identifier("id", orNotFound: "No such item.")
            return Response.json(["id": .string(id.description), "by": .string(try context.requireAuth().userID.text)])
        }
        secured.post("items") { request, context in
            var body = try await context.jsonObject(request, key: "item")
            let name = try body.requiredString("name", length: 1...20)
            try body.finish()
            if name == "taken" { throw WidgetError.taken }
            if name == "broken" { throw WidgetError.broken }
            if name == "away" { throw WidgetError.away }
            return Response.json(["name": .string(name)], status: .created)
        }
        routes.get("slow") { _, _ in
            started.open()
            await release.wait()
            return Response.empty(.noContent)
        }
    }
}

private struct FixedValidator: TokenValidator {
    func validate(_ token: String) async throws -> AuthContext? {
        guard token == "good" else { return nil }
        return AuthContext(
            userID: "u1", userName: "ann", userDomain: .init(id: "default", name: "Default"), project: nil,
            roles: [], methods: ["password"], auditIDs: [], issuedAt: .distantPast, expiresAt: .distantFuture)
    }
}

/// Waited for until it is opened.
private final class Gate: Sendable {
    private let stream: AsyncStream<Void>
    private let continuation: AsyncStream<Void>.Continuation
    init() { (stream, continuation) = AsyncStream.makeStream() }
    func open() { continuation.finish() }
    func wait() async { for await _ in stream {} }
}

private struct CountingIDs: IDSource {
    func uuid() -> UUID { UUID() }
}

private func server(
    _ service: any APIService = Widgets(), publicURL: String? = nil, port: Int = 0, drain: Duration = .seconds(5),
    onRunning: @escaping @Sendable (Int) async -> Void = { _ in }
) -> HTTPServer {
    var configuration = HTTPServerConfiguration(host: "127.0.0.1", port: port, publicURL: publicURL)
    configuration.drainLimit = drain
    return HTTPServer(
        configuration: configuration, services: [service],
        operations: OperationsEndpoints(
            health: { .init(isHealthy: false, body: #"{"status":"down"}"#) }, metrics: { "up 1\n" }),
        ids: CountingIDs(), clock: ContinuousClock(), logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
        onRunning: onRunning)
}

@Suite struct APIResponderTests {
    private func call(
        _ method: HTTPRequest.Method, _ uri: String, _ headers: HTTPFields = [:], body: String? = nil,
        publicURL: String? = nil
    ) async throws -> (status: Int, headers: HTTPFields, body: JSONValue?, bytes: Int) {
        try await server(publicURL: publicURL).testApplication.test(.router) { client in
            let answer = try await client.execute(
                uri: uri, method: method, headers: headers, body: body.map { ByteBuffer(string: $0) })
            let bytes = Array(answer.body.readableBytesView)
            return (answer.status.code, answer.headers, try? JSONParser.parse(bytes), bytes.count)
        }
    }

    private let token: HTTPFields = [.authToken: "good"]

    @Test(arguments: ["/widgets", "/widgets/"])
    func toleratesASlashAtTheEnd(uri: String) async throws {
        let answer = try await call(.get, uri)
        #expect(answer.status == 200)
        #expect(answer.body == ["url": "http://localhost/widgets"])
    }

    @Test func givesEveryAnswerItsOwnRequestID() async throws {
        let first = try await call(.get, "/widgets")
        let second = try await call(.get, "/nowhere")
        let ids = [first, second].compactMap { $0.headers[.openStackRequestID] }
        #expect(ids.count == 2 && Set(ids).count == 2)
        #expect(ids.allSatisfy { $0.hasPrefix("req-") && $0.count == 40 })
    }

    @Test func answersUnknownRoutesInTheServicesOwnShape() async throws {
        let answer = try await call(.get, "/widgets/what")
        #expect(answer.status == 404)
        #expect(
            answer.body == ["itemNotFound": ["code": 404, "message": "The resource could not be found."]])
    }

    @Test func answersPathsOfNoServicePlainly() async throws {
        #expect(try await call(.get, "/").status == 404)
        #expect(try await call(.post, "/else/where").body?["error"]?["code"] == 404)
    }

    @Test func answersOtherMethodsOfAKnownPathWithWhatIsAllowed() async throws {
        let answer = try await call(.delete, "/widgets")
        #expect(answer.status == 405)
        #expect(answer.headers[.allow] == "GET, HEAD")
        #expect(answer.body?["badMethod"] != nil)
    }

    @Test(arguments: ["/widgets", "/healthz"])
    func answersHeadLikeGetWithoutABody(uri: String) async throws {
        let head = try await call(.head, uri)
        let get = try await call(.get, uri)
        #expect(head.status == get.status)
        #expect(head.bytes == 0 && get.bytes > 0)
        #expect(head.headers[.contentLength] == get.headers[.contentLength])
    }

    @Test(arguments: [nil, "bad", "", String(repeating: "x", count: 9000)])
    func refusesRequestsWithoutAGoodToken(token: String?) async throws {
        var headers: HTTPFields = [:]
        headers[.authToken] = token
        let answer = try await call(.get, "/widgets/v1/items/x", headers)
        #expect(answer.status == 401)
        #expect(answer.headers[.wwwAuthenticate] == "Keystone uri=\"http://localhost/identity\"")
        #expect(answer.body?["error"]?["title"] == "Unauthorized")
    }

    @Test func tellsHandlersWhoCalls() async throws {
        let id = "0b0b5f4e-31f6-4cd5-8f92-30b2ae5e0a11"
        #expect(try await call(.get, "/widgets/v1/items/\(id)", token).body == ["id": .string(id), "by": "u1"])
    }

    @Test(arguments: ["name", "%E2%98%83", "0b0b5f4e-31f6-4cd5-8f92"])
    func answersIdsThatAreNoneWithNotFound(id: String) async throws {
        let answer = try await call(.get, "/widgets/v1/items/\(id)", token)
        #expect(answer.status == 404)
        #expect(answer.body?["itemNotFound"]?["message"] == "No such item.")
    }

    @Test func readsBodies() async throws {
        let answer = try await call(.post, "/widgets/v1/items", token, body: #"{"item": {"name": "a"}}"#)
        #expect(answer.status == 201)
        #expect(answer.headers[.contentType] == "application/json")
    }

    @Test(arguments: [
        (#"{"item": {"name": 1}}"#, 400, "badRequest"), (#"{"item": {"name": "a", "x": 1}}"#, 400, "badRequest"),
        (#"{"item": {"name": "a"}, "x": 1}"#, 400, "badRequest"), (#"{"item": "a"}"#, 400, "badRequest"),
        (#"[]"#, 400, "badRequest"), (#"{"item": "#, 400, "badRequest"), ("", 400, "badRequest"),
        (#"{"item": {"name": "taken"}}"#, 409, "conflictingRequest"),
        (#"{"item": {"name": "broken"}}"#, 500, "computeFault"),
        (#"{"item": {"name": "away"}}"#, 503, "serviceUnavailable"),
        (#"{"item": {"name": "\#(String(repeating: "x", count: 1000))"}}"#, 413, "overLimit"),
    ])
    func mapsWhatGoesWrong(body: String, status: Int, name: String) async throws {
        let answer = try await call(.post, "/widgets/v1/items", token, body: body)
        #expect(answer.status == status)
        #expect(answer.body?[name]?["code"] == .integer(Int64(status)))
    }

    @Test func saysWhenToComeAgainAfterWhatPasses() async throws {
        let answer = try await call(.post, "/widgets/v1/items", token, body: #"{"item": {"name": "away"}}"#)
        #expect(answer.headers[.retryAfter] == "2")
    }

    @Test func saysNothingOfUnknownErrors() async throws {
        let answer = try await call(.post, "/widgets/v1/items", token, body: #"{"item": {"name": "broken"}}"#)
        let message = try #require(answer.body?["computeFault"]?["message"]?.string)
        #expect(!message.contains("broken") && !message.contains("Widget"))
    }

    @Test func refusesOtherMediaTypes() async throws {
        var headers = token
        headers[.contentType] = "text/xml"
        #expect(try await call(.post, "/widgets/v1/items", headers, body: "<a/>").status == 415)
        headers[.contentType] = "application/json; charset=UTF-8"
        #expect(try await call(.post, "/widgets/v1/items", headers, body: #"{"item": {"name": "a"}}"#).status == 201)
    }

    @Test(
        arguments: [
            ([:], nil, "http://localhost/widgets"),
            (
                [.forwardedProto: "https", .forwardedHost: "cloud.example.org"], nil,
                "https://cloud.example.org/widgets"
            ),
            (
                [.forwardedHost: "a:1, b:2", .forwardedPort: "8443", .forwardedProto: "https"], nil,
                "https://a:8443/widgets"
            ),
            ([.forwardedPrefix: "/api/"], nil, "http://localhost/api/widgets"),
            ([.forwardedHost: "evil/<script>"], nil, "http://127.0.0.1:0/widgets"),
            ([.forwardedHost: "other"], "https://cloud.example.org/", "https://cloud.example.org/widgets"),
        ] as [(HTTPFields, String?, String)])
    func buildsLinksThatClientsCanReach(headers: HTTPFields, publicURL: String?, expected: String) async throws {
        #expect(try await call(.get, "/widgets", headers, publicURL: publicURL).body == ["url": .string(expected)])
    }

    @Test func answersHealthAndMetrics() async throws {
        #expect(try await call(.get, "/healthz").status == 503)
        #expect(try await call(.get, "/metrics").headers[.contentType] == "text/plain; version=0.0.4")
        #expect(try await call(.post, "/metrics").status == 405)
    }
}

@Suite(.timeLimit(.minutes(2))) struct HTTPServerShutdownTests {
    /// Runs a server, makes it answer a slow request, asks it to stop in the middle.
    private func stopDuringRequest(drain: Duration, releases: Bool) async throws -> (status: Int?, took: Duration) {
        let widgets = Widgets()
        let port = AsyncStream<Int>.makeStream()
        let server = server(widgets, drain: drain) { port.continuation.yield($0) }
        let group = ServiceGroup(
            configuration: .init(services: [server], logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }))
        return try await withThrowingTaskGroup(of: Int?.self) { tasks in
            tasks.addTask {
                try await group.run()
                return -1
            }
            var ports = port.stream.makeAsyncIterator()
            let number = try #require(await ports.next())
            tasks.addTask {
                do {
                    return try await TestClient.withClient(host: "127.0.0.1", port: number) { client in
                        try await client.execute(.init("/widgets/slow", method: .get)).status.code
                    }
                } catch {
                    return nil
                }
            }
            await widgets.started.wait()
            let clock = ContinuousClock()
            let start = clock.now
            await group.triggerGracefulShutdown()
            if releases { widgets.release.open() }
            var status: Int?
            var took = Duration.zero
            for try await outcome in tasks {
                if outcome == -1 { took = start.duration(to: clock.now) } else { status = outcome }
            }
            return (status, took)
        }
    }

    @Test func finishesTheRequestsItHasBegun() async throws {
        #expect(try await stopDuringRequest(drain: .seconds(60), releases: true).status == 204)
    }

    @Test func cancelsRequestsThatTakeTooLong() async throws {
        // Nothing but the cancellation ends this request.
        let outcome = try await stopDuringRequest(drain: .milliseconds(200), releases: false)
        #expect(outcome.took < .seconds(60))
    }
}
