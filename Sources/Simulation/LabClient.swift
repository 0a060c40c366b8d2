import AsyncHTTPClient
import NIOCore
import NIOHTTP1
package import Primitives

/// Speaks with a laboratory's API as one administrator.
package struct LabClient: Sendable {
    /// The compute microversion that everything is asked in: it knows partial records.
    static let microversion = "compute 2.90"
    private static let timeout = TimeAmount.seconds(60)
    /// The largest answer that is read.
    private static let answerLimit = 64 << 20
    private static let jsonType = "application/json"

    /// An answer that was not expected.
    package struct Failure: Error, CustomStringConvertible {
        package let description: String
    }

    package let projectID: String
    package let userID: String
    private let url: String
    private let token: String

    /// Logs in.
    /// - Parameter url: the root of every API.
    package init(url: String, user: String, password: Secret, project: String) async throws {
        let domain: JSONValue = ["id": "default"]
        let login: JSONValue = [
            "auth": [
                "identity": [
                    "methods": ["password"],
                    "password": [
                        "user": ["name": .string(user), "domain": domain, "password": .string(password.reveal())]
                    ],
                ],
                "scope": ["project": ["name": .string(project), "domain": domain]],
            ]
        ]
        let answer = try await Self.send(
            "POST", url + "/identity/v3/auth/tokens", token: nil, Array(login.text.utf8), type: Self.jsonType)
        guard answer.status == 201, let token = answer.token else {
            throw Failure(description: "the laboratory's API does not log its administrator in: \(answer.status)")
        }
        let document = try JSONParser.parse(answer.body)
        guard let projectID = document["token"]?["project"]?["id"]?.string,
            let userID = document["token"]?["user"]?["id"]?.string
        else { throw Failure(description: "a token without project and user") }
        self.url = url
        self.token = token
        self.projectID = projectID
        self.userID = userID
    }

    /// The document of a successful answer.
    /// - Throws: ``Failure`` for a status of 400 or more.
    package func json(_ method: String, _ path: String, _ body: JSONValue? = nil) async throws -> JSONValue {
        let answer = try await bytes(method, path, body)
        return answer.isEmpty ? .null : try JSONParser.parse(answer)
    }

    /// The same, not read.
    package func bytes(_ method: String, _ path: String, _ body: JSONValue? = nil) async throws -> [UInt8] {
        try await send(method, path, body.map { Array($0.text.utf8) }, type: Self.jsonType)
    }

    /// Sends bytes as they are.
    package func upload(_ path: String, _ bytes: [UInt8]) async throws {
        _ = try await send("PUT", path, bytes, type: "application/octet-stream")
    }

    private func send(_ method: String, _ path: String, _ body: [UInt8]?, type: String) async throws -> [UInt8] {
        let answer = try await Self.send(method, url + path, token: token, body, type: type)
        guard answer.status < 400 else {
            let text = String(decoding: answer.body.prefix(300), as: UTF8.self)
            throw Failure(description: "\(method) \(path): \(answer.status) \(text)")
        }
        return answer.body
    }

    private struct Answer {
        let status: Int
        let token: String?
        let body: [UInt8]
    }

    private static func send(
        _ method: String, _ url: String, token: String?, _ body: [UInt8]?, type: String
    ) async throws -> Answer {
        var request = HTTPClientRequest(url: url)
        request.method = HTTPMethod(rawValue: method)
        request.headers.add(name: "accept", value: "application/json")
        request.headers.add(name: "openstack-api-version", value: microversion)
        if let token { request.headers.add(name: "x-auth-token", value: token) }
        if let body {
            request.headers.add(name: "content-type", value: type)
            request.body = .bytes(body)
        }
        let response = try await HTTPClient.shared.execute(request, timeout: timeout)
        let buffer = try await response.body.collect(upTo: answerLimit)
        return Answer(
            status: Int(response.status.code), token: response.headers.first(name: "x-subject-token"),
            body: Array(buffer.readableBytesView))
    }
}
