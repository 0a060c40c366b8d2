import FoundationEssentials
package import Primitives
import Yams

/// A name and password with a project, as `clouds.yaml` holds them.
package struct CloudLogin: Sendable {
    package var authURL: String
    package var user: String
    package var password: String
    package var project: String

    package init(authURL: String, user: String, password: String, project: String) {
        self.authURL = authURL
        self.user = user
        self.password = password
        self.project = project
    }

    private struct File: Decodable {
        struct Cloud: Decodable { let auth: Auth }
        struct Auth: Decodable {
            let auth_url: String
            let username: String
            let password: String
            let project_name: String
        }
        let clouds: [String: Cloud]
    }

    /// Reads one cloud of a `clouds.yaml`.
    package init(cloud: String, file: String) throws {
        let data = try Data(contentsOf: URL(filePath: file))
        let clouds = try YAMLDecoder().decode(File.self, from: data).clouds
        guard let auth = clouds[cloud]?.auth else {
            throw HarnessFailure("\(file) has no cloud \(cloud)")
        }
        self.init(
            authURL: auth.auth_url, user: auth.username, password: auth.password, project: auth.project_name)
    }

    /// The document that asks for a token.
    package var request: JSONValue {
        [
            "auth": [
                "identity": [
                    "methods": ["password"],
                    "password": [
                        "user": [
                            "name": .string(user), "domain": ["id": "default"], "password": .string(password),
                        ]
                    ],
                ],
                "scope": ["project": ["name": .string(project), "domain": ["id": "default"]]],
            ]
        ]
    }
}

/// A caller with a token, and the services at the addresses that the catalog gives.
package struct CloudSession: Sendable {
    /// The newest compute microversion that the services know.
    package static let newestMicroversion = "2.104"

    package let token: String
    package let userID: String
    package let projectID: String
    package let identity: APIClient
    /// Compute at the oldest microversion.
    package let compute: APIClient
    package let network: APIClient
    package let image: APIClient

    package static func open(_ login: CloudLogin) async throws -> CloudSession {
        let answer = try await APIClient(url: login.authURL).send(.post, "/auth/tokens", login.request)
        guard answer.status == 201, let token = answer.header("x-subject-token") else {
            throw UnexpectedAnswer(request: "POST \(login.authURL)/auth/tokens", answer: answer)
        }
        return try CloudSession(token: token, document: try answer.json(), authURL: login.authURL)
    }

    private init(token: String, document: JSONValue, authURL: String) throws {
        self.token = token
        userID = try document.text("token.user.id")
        projectID = try document.text("token.project.id")
        var urls: [String: String] = [:]
        for service in try document.list("token.catalog") {
            let endpoints = try service.list("endpoints")
            urls[try service.text("type")] = try endpoints.first { $0["interface"]?.string == "public" }?.text("url")
        }
        func client(_ type: String, _ suffix: String = "") throws -> APIClient {
            guard var url = urls[type] else { throw MissingMember(path: "\(type) in the catalog", document: document) }
            while url.hasSuffix("/") { url.removeLast() }
            return APIClient(url: url + suffix, headers: ["x-auth-token": token])
        }
        identity = APIClient(url: authURL, headers: ["x-auth-token": token])
        compute = try client("compute")
        network = try client("network", "/v2.0")
        image = try client("image", "/v2")
    }

    /// Compute at a microversion, such as `2.90`.
    package func compute(_ microversion: String) -> APIClient {
        compute.with("openstack-api-version", "compute \(microversion)")
    }
}
