import FoundationEssentials
package import HTTPKit
package import HTTPTypes
import Hummingbird
import HummingbirdTesting
import Logging
import NIOCore
package import Primitives

/// Speaks HTTP with services in this process.
package struct APIConversation: Sendable {
    private let server: HTTPServer

    package init(_ services: [any APIService], ids: any IDSource) {
        server = HTTPServer(
            configuration: HTTPServerConfiguration(host: "127.0.0.1", port: 0, publicURL: "http://cloud"),
            services: services,
            operations: OperationsEndpoints(health: { .init(isHealthy: true, body: "{}") }, metrics: { "" }), ids: ids,
            clock: ContinuousClock(), logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
    }

    /// - Parameters:
    ///   - version: the minor of compute's microversion; no header when nil.
    package func send(
        _ method: HTTPRequest.Method, _ path: String, _ body: JSONValue? = nil, as person: Person? = .ann,
        version: Int? = nil, headers: HTTPFields = [:]
    ) async throws -> Answer {
        try await send(method, path, text: body.map(\.text), as: person, version: version, headers: headers)
    }

    package func send(
        _ method: HTTPRequest.Method, _ path: String, text: String?, as person: Person? = .ann, version: Int? = nil,
        headers: HTTPFields = [:]
    ) async throws -> Answer {
        var headers = headers
        if let person { headers[.authToken] = person.rawValue }
        if let version { headers[.openStackAPIVersion] = "compute 2.\(version)" }
        if text != nil, headers[.contentType] == nil { headers[.contentType] = "application/json" }
        let fields = headers
        return try await server.testApplication.test(.router) { client in
            let response = try await client.execute(
                uri: path, method: method, headers: fields, body: text.map { ByteBuffer(string: $0) })
            return Answer(
                status: response.status.code, headers: response.headers, bytes: Array(response.body.readableBytesView))
        }
    }

    package func get(_ path: String, as person: Person? = .ann, version: Int? = nil) async throws -> Answer {
        try await send(.get, path, nil as JSONValue?, as: person, version: version)
    }

    package func post(
        _ path: String, _ body: JSONValue, as person: Person? = .ann, version: Int? = nil
    ) async throws -> Answer {
        try await send(.post, path, body, as: person, version: version)
    }

    package func put(
        _ path: String, _ body: JSONValue, as person: Person? = .ann, version: Int? = nil
    ) async throws -> Answer {
        try await send(.put, path, body, as: person, version: version)
    }

    package func delete(_ path: String, as person: Person? = .ann, version: Int? = nil) async throws -> Answer {
        try await send(.delete, path, nil as JSONValue?, as: person, version: version)
    }
}

package struct Answer: Sendable {
    package let status: Int
    package let headers: HTTPFields
    package let bytes: [UInt8]

    package var json: JSONValue { (try? JSONParser.parse(bytes)) ?? .null }

    /// The value behind a path of keys and indexes.
    package subscript(_ path: String...) -> JSONValue? {
        path.reduce(json as JSONValue?) { value, step in
            if case .array(let elements)? = value, let index = Int(step) {
                return elements.indices.contains(index) ? elements[index] : nil
            }
            return value?[step]
        }
    }

    /// The `name` of each element of a list.
    package func names(_ list: String, _ key: String = "name") -> [String] {
        (json[list]?.array ?? []).compactMap { $0[key]?.string }
    }
}
