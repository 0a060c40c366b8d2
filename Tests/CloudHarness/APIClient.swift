import AsyncHTTPClient
import NIOCore
import NIOHTTP1
package import Primitives

/// One answer of an API.
package struct APIAnswer: Sendable {
    package let status: Int
    package let body: [UInt8]
    private let headers: HTTPHeaders

    init(status: Int, headers: HTTPHeaders, body: [UInt8]) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    package func header(_ name: String) -> String? { headers.first(name: name) }

    package var text: String { String(decoding: body, as: UTF8.self) }

    package func json() throws -> JSONValue { try JSONParser.parse(body) }
}

/// An answer with another status than the caller could use.
package struct UnexpectedAnswer: Error, CustomStringConvertible {
    package let request: String
    package let answer: APIAnswer

    package init(request: String, answer: APIAnswer) {
        self.request = request
        self.answer = answer
    }

    package var description: String { "\(request): \(answer.status) \(answer.text.prefix(500))" }
}

/// Speaks HTTP with one service as one caller.
package struct APIClient: Sendable {
    private static let timeout = TimeAmount.seconds(30)
    /// The largest answer that is read.
    private static let answerLimit = 64 << 20

    package enum Method: String, Sendable { case get, put, post, patch, delete, head }

    package var url: String
    package var headers: [String: String]
    private let client: HTTPClient

    /// One for all that are impatient, as long as the process lives.
    private static let impatient: HTTPClient = {
        var configuration = HTTPClient.Configuration()
        configuration.connectionPool.retryConnectionEstablishment = false
        return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }()

    /// - Parameter isImpatient: whether a connection that is refused is an error at once; else it is tried for seconds.
    package init(url: String, headers: [String: String] = [:], isImpatient: Bool = false) {
        self.url = url
        self.headers = headers
        client = isImpatient ? Self.impatient : .shared
    }

    package func with(_ name: String, _ value: String) -> APIClient {
        var copy = self
        copy.headers[name] = value
        return copy
    }

    /// Sends `body` as JSON.
    package func send(_ method: Method, _ path: String, _ body: JSONValue? = nil) async throws -> APIAnswer {
        guard let body else { return try await send(method, path, bytes: nil, type: nil) }
        return try await send(method, path, bytes: Array(body.text.utf8), type: "application/json")
    }

    package func send(
        _ method: Method, _ path: String, bytes: [UInt8]?, type: String?
    ) async throws -> APIAnswer {
        var request = HTTPClientRequest(url: url + path)
        request.method = HTTPMethod(rawValue: method.rawValue.uppercased())
        for (name, value) in headers { request.headers.replaceOrAdd(name: name, value: value) }
        request.headers.replaceOrAdd(name: "accept", value: headers["accept"] ?? "application/json")
        if let type { request.headers.replaceOrAdd(name: "content-type", value: type) }
        if let bytes { request.body = .bytes(bytes) }
        let response = try await client.execute(request, timeout: Self.timeout)
        let buffer = try await response.body.collect(upTo: Self.answerLimit)
        return APIAnswer(
            status: Int(response.status.code), headers: response.headers, body: Array(buffer.readableBytesView))
    }

    /// The document of an answer with one of `statuses`.
    @discardableResult
    package func expect(
        _ statuses: Int..., from method: Method, _ path: String, _ body: JSONValue? = nil
    ) async throws -> JSONValue {
        let answer = try await send(method, path, body)
        guard statuses.contains(answer.status) else {
            throw UnexpectedAnswer(request: "\(method.rawValue.uppercased()) \(url)\(path)", answer: answer)
        }
        return answer.body.isEmpty ? .null : try answer.json()
    }

    package func get(_ path: String) async throws -> JSONValue { try await expect(200, from: .get, path) }
}

extension JSONValue {
    /// The member at `path`, whose words are keys and indices: `server.addresses.net.0.addr`.
    package func at(_ path: String) -> JSONValue? {
        var value = self
        for word in path.split(separator: ".").map(String.init) {
            if let elements = value.array, let index = Int(word), elements.indices.contains(index) {
                value = elements[index]
            } else if let member = value[word] {
                value = member
            } else {
                return nil
            }
        }
        return value
    }

    /// The text at `path`.
    /// - Throws: ``MissingMember``.
    package func text(_ path: String) throws -> String {
        guard let text = at(path)?.string else { throw MissingMember(path: path, document: self) }
        return text
    }

    package func integer(_ path: String) throws -> Int {
        guard let number = at(path)?.integer else { throw MissingMember(path: path, document: self) }
        return Int(number)
    }

    package func list(_ path: String) throws -> [JSONValue] {
        guard let elements = at(path)?.array else { throw MissingMember(path: path, document: self) }
        return elements
    }
}

/// A document that is not as the API promises.
package struct MissingMember: Error, CustomStringConvertible {
    package let path: String
    package let document: JSONValue

    package init(path: String, document: JSONValue) {
        self.path = path
        self.document = document
    }

    package var description: String { "no \(path) in \(document.text.prefix(1000))" }
}
