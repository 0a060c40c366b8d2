import CloudModel
import FoundationEssentials
import HTTPKit
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import Logging
import NIOCore
import Primitives
import Testing

/// Requests that want to be somebody else, somewhere else, or sent elsewhere.
@Suite struct HostileRequestTests {
    private struct Mirror: APIService {
        let name = "mirror"
        let path = "/mirror"
        let bodyLimit = 1000
        let faults: any FaultRenderer = NovaFaults()

        func addRoutes(to routes: APIRoutes) {
            routes.get { _, context in Response.json(["url": .string(context.serviceURL)]) }
            let secured = routes.group("v1").add(middleware: Authentication(Tokens()))
            secured.get("who") { _, context in
                let auth = try context.requireAuth()
                return Response.json([
                    "user": .string(auth.userID.text), "admin": .bool(auth.isAdmin),
                    "project": auth.projectID.map { .string($0.text) } ?? .null,
                ])
            }
        }
    }

    private struct Tokens: TokenValidator {
        func validate(_ token: String) async throws -> AuthContext? {
            guard token == "good" else { return nil }
            return AuthContext(
                userID: "u1", userName: "ann", userDomain: .init(id: "default", name: "Default"), project: nil,
                roles: [], methods: ["password"], auditIDs: [], issuedAt: .distantPast, expiresAt: .distantFuture)
        }
    }

    private struct RandomIDs: IDSource {
        func uuid() -> UUID { UUID() }
    }

    private func call(
        _ method: HTTPRequest.Method = .get, _ uri: String, _ headers: [(String, String)] = [],
        publicURL: String? = nil
    ) async throws -> (status: Int, headers: HTTPFields, text: String) {
        let server = HTTPServer(
            configuration: HTTPServerConfiguration(host: "127.0.0.1", port: 0, publicURL: publicURL),
            services: [Mirror()],
            operations: OperationsEndpoints(health: { .init(isHealthy: true, body: "{}") }, metrics: { "" }),
            ids: RandomIDs(), clock: ContinuousClock(),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        var fields = HTTPFields()
        for (name, value) in headers { fields.append(HTTPField(name: .init(fixed: name), value: value)) }
        let sent = fields
        return try await server.testApplication.test(.router) { client in
            let answer = try await client.execute(uri: uri, method: method, headers: sent)
            return (answer.status.code, answer.headers, String(buffer: answer.body))
        }
    }

    @Test(arguments: [
        "//evil.example/%2f..", "//evil.example", "///evil.example/mirror", "/%2f%2fevil.example/", "/\\evil.example",
        "/mirror//evil.example/%2e%2e", "/mirror/..%2f..%2fetc/passwd", "/mirror/../../etc/passwd",
        "/mirror/v1/%2e%2e/%2e%2e/metrics", "/mirror/v1/who/..;/admin", "/mirror/v1/%00",
    ])
    func noPathLeadsElsewhere(_ uri: String) async throws {
        let answer = try await call(.get, uri, [("X-Auth-Token", "good")])
        #expect((400..<500).contains(answer.status), "\(uri): \(answer.status)")
        #expect(answer.headers[.location] == nil)
        #expect(!answer.text.contains("evil.example"))
    }

    /// Headers by which a proxy in front of other services says who calls are nobody's word here.
    @Test func forgedIdentityHeadersSayNothing() async throws {
        let forged = [
            ("X-Identity-Status", "Confirmed"), ("X-User-Id", "root"), ("X-User-Name", "root"),
            ("X-Roles", "admin,member"), ("X-Role", "admin"), ("X-Project-Id", "victim"), ("X-Tenant-Id", "victim"),
            ("X-Is-Admin-Project", "true"), ("X-Service-Identity-Status", "Confirmed"), ("X-Service-Roles", "admin"),
            ("X-Service-Token", "x"), ("OpenStack-System-Scope", "all"), ("Remote-User", "root"),
            ("Authorization", "Bearer good"),
        ]
        let none = try await call(.get, "/mirror/v1/who", forged)
        #expect(none.status == 401)
        let plain = try await call(.get, "/mirror/v1/who", [("X-Auth-Token", "good")])
        let both = try await call(.get, "/mirror/v1/who", forged + [("X-Auth-Token", "good")])
        #expect(both.status == 200 && both.text == plain.text)
        #expect(both.text.contains("\"admin\":false") && both.text.contains("\"user\":\"u1\""))
    }

    /// What a client says of the host is forgotten with its request, and is never more than a host.
    @Test func theHostHeaderIsNobodysMemory() async throws {
        for host in ["evil.example/path", "evil\"><script>", "a b", "user@evil.example", "evil.example?x=", ""] {
            let answer = try await call(.get, "/mirror", [("X-Forwarded-Host", host)])
            #expect(answer.status == 200 && !answer.text.contains("evil"), "\(host): \(answer.text)")
        }
        let own = try await call(.get, "/mirror", [("X-Forwarded-Host", "evil.example")], publicURL: "https://cloud")
        #expect(own.text.contains("https://cloud/mirror") && !own.text.contains("evil"))
        let named = try await call(.get, "/mirror", [("X-Forwarded-Host", "one.example")])
        #expect(named.text.contains("one.example"))
        let next = try await call(.get, "/mirror")
        #expect(!next.text.contains("one.example"))
    }

    @Test(arguments: ["javascript", "file", "gopher"])
    func onlyHTTPIsASchemeOfOurLinks(_ scheme: String) async throws {
        let answer = try await call(.get, "/mirror", [("X-Forwarded-Proto", scheme)])
        #expect(answer.text.contains("http://") && !answer.text.contains("\(scheme):"))
    }

    @Test func aRequestIDThatIsNoneIsNotRepeated() async throws {
        for id in ["req-evil", "req-" + String(repeating: "x", count: 36), "<script>"] {
            let answer = try await call(.get, "/mirror", [("X-Openstack-Request-Id", id)])
            #expect(answer.headers[.openStackRequestID] != id)
        }
    }
}
