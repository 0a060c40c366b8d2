import CloudModel
import FoundationEssentials
import HTTPKit
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import Logging
import NIOCore
import Primitives
import Synchronization
import TestSupport

@testable import IdentityAPI

/// A clock that stands still until a test moves it.
final class HandClock: WallClock {
    private let time = Mutex(Date(timeIntervalSince1970: 1_800_000_000))
    func now() -> Date { time.withLock { $0 } }
    func advance(_ seconds: Double) { time.withLock { $0 = $0.addingTimeInterval(seconds) } }
}

final class CountingIDs: IDSource {
    private let next = Mutex<UInt64>(0)
    func uuid() -> UUID {
        let number = next.withLock { next in
            next += 1
            return next
        }
        let low = number.bigEndian
        return withUnsafeBytes(of: low) { bytes in
            UUID(
                uuid: (
                    0, 0, 0, 0, 0, 0, 0x40, 0, bytes[0] | 0x80, bytes[1], bytes[2], bytes[3], bytes[4], bytes[5],
                    bytes[6], bytes[7]
                ))
        }
    }
}

struct Answer {
    let status: Int
    let headers: HTTPFields
    let body: JSONValue
    var token: String { headers[.subjectToken] ?? "" }

    subscript(path: String...) -> JSONValue? {
        path.reduce(body as JSONValue?) { value, key in
            if let index = Int(key) { return value?.array.flatMap { $0.indices.contains(index) ? $0[index] : nil } }
            return value?[key]
        }
    }
}

/// Identity with an administrator and a member, in memory, called without a socket.
struct IdentityBench {
    let clock = HandClock()
    let repository = InMemoryIdentityRepository()
    let hasher = PasswordHasher(cost: 4)
    let authority: TokenAuthority
    let ids = CountingIDs()
    let service: IdentityService
    let application: Application<APIResponder>

    static let document = BootstrapDocument(
        projects: [.init(name: "admin"), .init(name: "demo"), .init(name: "empty")],
        users: [
            .init(name: "admin", password: Secret("root-pw"), project: "admin", roles: ["admin"]),
            .init(name: "ann", password: Secret("ann-pw"), project: "demo", roles: ["member"]),
        ])

    static let key = Secret(String(repeating: "k", count: 40))

    init() async throws {
        authority = TokenAuthority(key: try SigningKey(Self.key), clock: clock)
        service = IdentityService(
            configuration: IdentityConfiguration(region: "RegionOne"), repository: repository, hasher: hasher,
            authority: authority, ids: ids)
        application =
            HTTPServer(
                configuration: HTTPServerConfiguration(host: "127.0.0.1", port: 0), services: [service],
                operations: OperationsEndpoints(health: { .init(isHealthy: true, body: "{}") }, metrics: { "" }),
                ids: ids, clock: ContinuousClock(), logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            ).testApplication
        _ = try await bootstrap.run(Self.document)
        authority.revocations.replace(with: [])
        // Bootstrap's own moment is past, so that tokens are issued after it.
        clock.advance(1)
    }

    var bootstrap: IdentityBootstrap {
        IdentityBootstrap(repository: repository, hasher: hasher, authority: authority, ids: ids)
    }

    func call(
        _ method: HTTPRequest.Method, _ path: String, token: String? = nil, subject: String? = nil,
        _ body: JSONValue? = nil
    ) async throws -> Answer {
        var headers: HTTPFields = [:]
        headers[.authToken] = token
        headers[.subjectToken] = subject
        if body != nil { headers[.contentType] = "application/json" }
        let text = body.map { ByteBuffer(string: $0.text) }
        return try await application.test(.router) { [headers] client in
            let answer = try await client.execute(uri: "/identity" + path, method: method, headers: headers, body: text)
            let json = try? JSONParser.parse(Array(answer.body.readableBytesView))
            return Answer(status: answer.status.code, headers: answer.headers, body: json ?? .null)
        }
    }

    func logIn(_ method: JSONValue, scope: JSONValue? = nil, query: String = "") async throws -> Answer {
        var auth: [String: JSONValue] = ["identity": method]
        auth["scope"] = scope
        return try await call(.post, "/v3/auth/tokens" + query, ["auth": .object(auth)])
    }

    static func password(_ name: String, _ password: String) -> JSONValue {
        [
            "methods": ["password"],
            "password": ["user": ["name": .string(name), "domain": ["id": "default"], "password": .string(password)]],
        ]
    }

    static func token(_ token: String) -> JSONValue { ["methods": ["token"], "token": ["id": .string(token)]] }

    static func project(_ name: String) -> JSONValue {
        ["project": ["name": .string(name), "domain": ["name": "Default"]]]
    }

    func adminToken() async throws -> String {
        try await logIn(Self.password("admin", "root-pw"), scope: Self.project("admin")).token
    }

    func memberToken() async throws -> String {
        try await logIn(Self.password("ann", "ann-pw"), scope: Self.project("demo")).token
    }

    func userID(_ name: String) async throws -> String {
        try await repository.users(AccountFilter(name: name)).first?.id.text ?? ""
    }

    func projectID(_ name: String) async throws -> String {
        try await repository.projects(AccountFilter(name: name)).first?.id.text ?? ""
    }

    func roleID(_ name: String) async throws -> String {
        try await repository.roles(name: name).first?.id.text ?? ""
    }
}
