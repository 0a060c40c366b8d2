import FoundationEssentials
package import Primitives
import SystemPackage

/// The few calls of the OpenStack APIs that the tool itself makes, as the cloud's administrator.
///
/// They go by `curl`, which the hosts need anyhow and which streams files; what is secret goes to it over standard input.
package struct CloudClient: Sendable {
    static let timeout = Duration.seconds(20)
    static let uploadTimeout = Duration.seconds(900)

    package struct Failure: Error, Sendable, Equatable, CustomStringConvertible {
        package let request: String
        /// `nil` when there was no answer.
        package let status: Int?
        package let detail: String

        package var description: String {
            "\(request): " + (status.map { "the API answered \($0): \(detail)" } ?? "no answer: \(detail)")
        }
    }

    package enum Method: String, Sendable { case get = "GET", post = "POST", put = "PUT", delete = "DELETE" }

    /// One answer of the API.
    private struct Answer {
        var status: Int
        var subjectToken: String
        var body: String
    }

    private let url: String
    let token: Secret
    private let authority: String?

    init(url: String, token: Secret, authority: String?) {
        self.url = url
        self.token = token
        self.authority = authority
    }

    /// Logs in.
    /// - Parameter authority: path of the certificates by which the API is verified; `nil` for the system's own.
    /// - Throws: ``Failure``, with status 401 when the user or the password is not known.
    package static func login(
        url: String, authority: String?, user: String, password: Secret, project: String
    ) async throws -> CloudClient {
        let domain = JSONValue.object(["id": .string("default")])
        let body = JSONValue.object([
            "auth": .object([
                "identity": .object([
                    "methods": .array([.string("password")]),
                    "password": .object([
                        "user": .object([
                            "name": .string(user), "domain": domain, "password": .string(password.reveal()),
                        ])
                    ]),
                ]),
                "scope": .object(["project": .object(["name": .string(project), "domain": domain])]),
            ])
        ])
        let answer = try await CloudClient(url: url, token: Secret(""), authority: authority)
            .send(.post, "/identity/v3/auth/tokens", body: body)
        guard !answer.subjectToken.isEmpty else {
            throw Failure(request: "POST /identity/v3/auth/tokens", status: answer.status, detail: "no token in it")
        }
        return CloudClient(url: url, token: Secret(answer.subjectToken), authority: authority)
    }

    /// The JSON answer of a request.
    package func json(_ method: Method, _ path: String, body: JSONValue? = nil) async throws -> JSONValue {
        let answer = try await send(method, path, body: body)
        guard !answer.body.isEmpty else { return .null }
        return try JSONDecoder().decode(JSONValue.self, from: Data(answer.body.utf8))
    }

    /// The objects under `key` of a list.
    package func list(_ path: String, key: String) async throws -> [JSONValue] {
        try await json(.get, path)[key]?.array ?? []
    }

    /// Uploads an image that every project may use: its record first, then the file as a stream. A record whose upload
    /// fails is deleted again.
    package func upload(image name: String, diskFormat: String, file: String) async throws {
        guard FileSystem.exists(file) else {
            throw FileFailure("read the image file", file, .noSuchFileOrDirectory)
        }
        let record = try await json(
            .post, "/image/v2/images",
            body: .object([
                "name": .string(name), "disk_format": .string(diskFormat), "container_format": .string("bare"),
                "visibility": .string("public"),
            ]))
        guard let id = record["id"]?.string else {
            throw Failure(request: "POST /image/v2/images", status: 201, detail: "the answer has no id")
        }
        do {
            let path = "/image/v2/images/\(id)/file"
            let settings = Self.settings(
                .put, url: url + path, token: token, authority: authority,
                lines: [
                    "upload-file = \(Self.quoted(file))", "header = \"content-type: application/octet-stream\"",
                ])
            _ = try await curl(settings, request: "PUT \(path)", timeout: Self.uploadTimeout)
        } catch {
            _ = try await json(.delete, "/image/v2/images/\(id)")
            throw error
        }
    }

    private func send(_ method: Method, _ path: String, body: JSONValue?) async throws -> Answer {
        var lines: [String] = []
        if let body {
            let encoder = JSONEncoder()
            encoder.outputFormatting = .withoutEscapingSlashes
            let text = String(decoding: try encoder.encode(body), as: UTF8.self)
            lines = ["header = \"content-type: application/json\"", "data-binary = \(Self.quoted(text))"]
        }
        let settings = Self.settings(method, url: url + path, token: token, authority: authority, lines: lines)
        return try await curl(settings, request: "\(method.rawValue) \(path)", timeout: Self.timeout)
    }

    private func curl(_ settings: String, request: String, timeout: Duration) async throws -> Answer {
        let limit = timeout.components.seconds
        let result = try await LocalCommand(
            "curl", ["--config", "-", "--max-time", String(limit)], input: Data(settings.utf8),
            timeout: timeout + .seconds(5)
        ).run()
        guard result.status == 0 else { throw Failure(request: request, status: nil, detail: result.complaint) }
        guard let answer = Self.answer(result.standardOutput) else {
            throw Failure(request: request, status: nil, detail: "curl printed something else than was asked")
        }
        guard (200...299).contains(answer.status) else {
            throw Failure(request: request, status: answer.status, detail: String(answer.body.prefix(500)))
        }
        return answer
    }

    /// A configuration for curl: read from standard input, so that tokens and passwords are nobody's arguments.
    static func settings(
        _ method: Method, url: String, token: Secret, authority: String? = nil, lines: [String]
    ) -> String {
        var all = [
            "silent", "show-error", "request = \"\(method.rawValue)\"", "url = \(quoted(url))",
            "header = \"accept: application/json\"", "header = \"expect:\"", "connect-timeout = 3",
            #"write-out = "\n%{http_code} %header{x-subject-token}""#,
        ]
        if let authority { all.append("cacert = \(quoted(authority))") }
        if !token.reveal().isEmpty { all.append("header = \(quoted("x-auth-token: \(token.reveal())"))") }
        return (all + lines).joined(separator: "\n") + "\n"
    }

    /// As curl's configuration files want it.
    static func quoted(_ text: String) -> String {
        var result = "\""
        for character in text {
            switch character {
            case "\\": result += #"\\"#
            case "\"": result += #"\""#
            case "\n": result += #"\n"#
            case "\t": result += #"\t"#
            case "\r": result += #"\r"#
            default: result.append(character)
            }
        }
        return result + "\""
    }

    /// The body, then a line with status and token, as ``settings(_:url:token:lines:)`` asks for it.
    private static func answer(_ output: String) -> Answer? {
        guard let end = output.lastIndex(of: "\n") else { return nil }
        let last = output[output.index(after: end)...].split(separator: " ", omittingEmptySubsequences: false)
        guard let status = last.first.flatMap({ Int($0) }) else { return nil }
        return Answer(
            status: status, subjectToken: last.count > 1 ? String(last[1]) : "", body: String(output[..<end]))
    }
}
