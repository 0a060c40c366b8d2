import CloudModel
import FoundationEssentials
import Glibc
import HTTPKit
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import Logging
import NIOCore
import Primitives
import Synchronization
import SystemPackage
import TestSupport

@testable import ImageAPI

final class HandClock: WallClock {
    private let time = Mutex(Date(timeIntervalSince1970: 1_800_000_000))
    func now() -> Date { time.withLock { $0 } }
    func advance(_ seconds: Double) { time.withLock { $0 = $0.addingTimeInterval(seconds) } }
}

/// Tokens are `admin`, or a project and a role: `p1:member`.
struct NamedTokens: TokenValidator {
    func validate(_ token: String) async throws -> AuthContext? {
        let parts = token.split(separator: ":").map(String.init)
        guard let first = parts.first, first == "admin" || parts.count == 2 else { return nil }
        let roles = first == "admin" ? ["admin", "member", "reader"] : [parts[1], "reader"]
        let domain = AuthContext.Named(id: "default", name: "Default")
        return AuthContext(
            userID: "u1", userName: "u1", userDomain: domain,
            project: .init(id: ProjectID(first), name: first, domain: domain),
            roles: roles.map { .init(id: $0, name: $0) }, methods: [], auditIDs: [], issuedAt: .distantPast,
            expiresAt: .distantFuture)
    }
}

/// The ticket of an image is its id with `ticket-` before it.
struct NamedTickets: ImageTicketVerifier {
    func isValid(_ ticket: String, for image: ImageID) -> Bool { ticket == "ticket-\(image)" }
}

struct Answer: Sendable {
    let status: Int
    let headers: HTTPFields
    let bytes: [UInt8]
    var body: JSONValue { (try? JSONParser.parse(bytes)) ?? .null }
    var id: String { body["id"]?.string ?? "" }

    subscript(path: String...) -> JSONValue? {
        path.reduce(body as JSONValue?) { value, key in
            if let index = Int(key) { return value?.array.flatMap { $0.indices.contains(index) ? $0[index] : nil } }
            return value?[key]
        }
    }
}

/// The image service with a folder of its own, which goes with it.
final class ImageBench: Sendable {
    let clock = HandClock()
    let repository = InMemoryImageRepository()
    let store: ImageStore
    let folder: String
    let service: ImageService

    init(sizeLimit: Int64 = 8 << 20) throws {
        folder = "/tmp/cellwright-image-tests-\(UUID().uuidString)"
        store = try ImageStore(folder: FilePath(folder))
        service = ImageService(
            configuration: ImageConfiguration(sizeLimit: sizeLimit), repository: repository, store: store,
            validator: NamedTokens(), tickets: NamedTickets(), ids: SystemIDSource(), clock: clock)
    }

    deinit {
        for name in files { unlink("\(folder)/\(name)") }
        rmdir(folder)
    }

    /// What lies in the store's folder.
    var files: [String] {
        guard let stream = opendir(folder) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    func server(onRunning: @escaping @Sendable (Int) async -> Void = { _ in }) -> HTTPServer {
        HTTPServer(
            configuration: HTTPServerConfiguration(host: "127.0.0.1", port: 0), services: [service],
            operations: OperationsEndpoints(health: { .init(isHealthy: true, body: "{}") }, metrics: { "" }),
            ids: SystemIDSource(), clock: ContinuousClock(),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, onRunning: onRunning)
    }

    func call(
        _ method: HTTPRequest.Method, _ path: String, as token: String? = "p1:member", _ body: JSONValue? = nil,
        type: String = "application/json", data: [UInt8]? = nil, headers more: HTTPFields = [:]
    ) async throws -> Answer {
        var headers = more
        headers[.authToken] = token
        let bytes = data ?? body.map { Array($0.text.utf8) }
        if bytes != nil { headers[.contentType] = type }
        return try await server().testApplication.test(.router) { [headers] client in
            let answer = try await client.execute(
                uri: "/image" + path, method: method, headers: headers, body: bytes.map { ByteBuffer(bytes: $0) })
            return Answer(
                status: answer.status.code, headers: answer.headers, bytes: Array(answer.body.readableBytesView))
        }
    }

    func create(_ attributes: JSONValue = ["name": "i"], as token: String = "p1:member") async throws -> Answer {
        var members: [String: JSONValue] = ["disk_format": "raw", "container_format": "bare"]
        members.merge(attributes.object ?? [:]) { $1 }
        return try await call(.post, "/v2/images", as: token, .object(members))
    }

    func upload(_ id: String, _ data: [UInt8], as token: String = "p1:member") async throws -> Answer {
        try await call(.put, "/v2/images/\(id)/file", as: token, type: "application/octet-stream", data: data)
    }

    func patch(_ id: String, _ operations: JSONValue, as token: String = "p1:member") async throws -> Answer {
        try await call(.patch, "/v2/images/\(id)", as: token, operations, type: ImagePatch.mediaType)
    }

    func show(_ id: String, as token: String = "p1:member") async throws -> Answer {
        try await call(.get, "/v2/images/\(id)", as: token)
    }

    /// A raw disk: nothing that looks like anything else.
    static func disk(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) } }

    /// A qcow2 header of version 2 that is right, with room for the clusters that it names.
    static func qcow2(backingFile: Bool = false) -> [UInt8] {
        var bytes: [UInt8] = [0x51, 0x46, 0x49, 0xFB]
        func put(_ value: some FixedWidthInteger) {
            withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
        }
        put(UInt32(2))
        put(UInt64(backingFile ? 72 : 0))
        put(UInt32(backingFile ? 5 : 0))
        put(UInt32(16))
        put(UInt64(1 << 20))
        put(UInt32(0))
        put(UInt32(1))
        put(UInt64(0x30000))
        put(UInt64(0x10000))
        put(UInt32(1))
        put(UInt32(0))
        put(UInt64(0))
        if backingFile { bytes.append(contentsOf: Array("/etc/".utf8)) }
        return bytes + [UInt8](repeating: 0, count: 0x40000 - bytes.count)
    }
}
