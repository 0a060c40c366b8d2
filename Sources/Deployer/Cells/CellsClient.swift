package import CloudModel
import FoundationEssentials
package import Primitives
import Topology

/// The cells API as the cloud's administrator uses it.
package struct CellsClient: Sendable {
    /// Rows asked for at once.
    static let pageLimit = 500
    /// Pages of one list: more than any cloud has.
    static let pagesLimit = 1000

    private let cloud: CloudClient
    private let url: String

    init(_ cloud: CloudClient, url: String) {
        self.cloud = cloud
        self.url = url
    }

    /// - Throws: ``CellsFailure`` when the API does not answer or does not take the password.
    package static func login(
        url: String, authority: String? = nil, user: String, password: Secret, project: String
    ) async throws -> CellsClient {
        do {
            let cloud = try await CloudClient.login(
                url: url, authority: authority, user: user, password: password, project: project)
            return CellsClient(cloud, url: url)
        } catch let failure as CloudClient.Failure {
            throw CellsFailure(failure, url: url)
        }
    }

    /// Every cell below the root, by path.
    package func cells() async throws -> [CellReport] { try await all("cells", query: "", key: "cells") }

    /// - Throws: ``CellsFailure/unknown`` with the nearest known path.
    package func cell(_ path: CellPath) async throws -> CellReport {
        try await one(.get, path, body: nil)
    }

    package func order(_ state: PlacementOrder.State, reason: String?, of path: CellPath) async throws -> CellReport {
        try await one(.put, path, body: Self.order("cell", state, reason))
    }

    /// Has the root forget a cell that has no servers.
    /// - Returns: whether it knew it.
    /// - Throws: ``CellsFailure/refused`` when servers remain.
    package func forget(_ path: CellPath) async throws -> Bool {
        do {
            _ = try await ask(.delete, "/cells\(path)")
            return true
        } catch CellsFailure.unknown {
            return false
        }
    }

    /// Hosts by name, of one cell or of all.
    package func hosts(of cell: CellPath? = nil) async throws -> [HostReport] {
        try await all("hosts", query: cell.map { "&cell=\($0)" } ?? "", key: "hosts")
    }

    package func host(_ name: HostName) async throws -> HostReport {
        try await one(.get, name, body: nil)
    }

    package func order(_ state: PlacementOrder.State, reason: String?, of host: HostName) async throws -> HostReport {
        try await one(.put, host, body: Self.order("host", state, reason))
    }

    /// - Parameter text: a server's id, or its name if only one server has it.
    package func server(_ text: String) async throws -> ServerReport {
        guard let id = ServerID(text) else { return try await named(text) }
        return try Self.decode(try await ask(.get, "/servers/\(id)"), "server")
    }

    // MARK: Requests

    /// The smallest request that a token is needed for.
    func probe() async throws { _ = try await ask(.get, "/cells?limit=1") }

    /// The objects under `key` of a list of the compute API.
    func compute(_ path: String, key: String) async throws -> [JSONValue] {
        try await translating { try await cloud.list("/compute/v2.1\(path)", key: key) }
    }

    private func one(_ method: CloudClient.Method, _ path: CellPath, body: JSONValue?) async throws -> CellReport {
        guard !path.isRoot else { throw CellsFailure.refused("the root cell itself holds no servers") }
        do {
            return try Self.decode(try await ask(method, "/cells\(path)", body), "cell")
        } catch CellsFailure.unknown {
            let known = try await cells().map(\.path)
            throw CellsFailure.unknown("cell \(path)", nearest: NearestName.of(path.description, among: known))
        }
    }

    private func one(_ method: CloudClient.Method, _ host: HostName, body: JSONValue?) async throws -> HostReport {
        do {
            return try Self.decode(try await ask(method, "/hosts/\(Self.escaped(host.text))", body), "host")
        } catch CellsFailure.unknown {
            let known = try await hosts().map(\.name)
            throw CellsFailure.unknown("host \(host)", nearest: NearestName.of(host.text, among: known))
        }
    }

    private func named(_ name: String) async throws -> ServerReport {
        let pattern = Self.escaped("^" + RegularText.quoted(name) + "$")
        let found = try await compute("/servers?all_tenants=1&limit=20&name=\(pattern)", key: "servers")
        guard let first = found.first?["id"]?.string else { throw CellsFailure.unknown("server \(name)", nearest: nil) }
        guard found.count == 1 else {
            let ids = found.compactMap { $0["id"]?.string }.joined(separator: ", ")
            throw CellsFailure.refused("\(found.count) servers are called \(name); give one of their ids: \(ids)")
        }
        return try await server(first)
    }

    /// Every page of a list.
    /// - Parameter note: sees each answer as it is.
    func all<Report: Decodable>(
        _ path: String, query: String, key: String, note: (JSONValue) throws -> Void = { _ in }
    ) async throws -> [Report] {
        var rows: [Report] = []
        var marker = ""
        for _ in 0..<Self.pagesLimit {
            let answer = try await ask(.get, "/\(path)?limit=\(Self.pageLimit)\(query)\(marker)")
            let page: [Report] = try Self.decode(answer, key)
            try note(answer)
            rows += page
            guard let next = answer["\(key)_links"]?.array?.first?["href"]?.string,
                let range = next.firstRange(of: "marker=")
            else { break }
            marker = "&marker=" + next[range.upperBound...].prefix { $0 != "&" }
        }
        return rows
    }

    func ask(_ method: CloudClient.Method, _ path: String, _ body: JSONValue? = nil) async throws -> JSONValue {
        try await translating { try await cloud.json(method, "/cells/v1\(path)", body: body) }
    }

    private func translating<Result>(_ body: () async throws -> Result) async throws -> Result {
        do {
            return try await body()
        } catch let failure as CloudClient.Failure {
            throw CellsFailure(failure, url: url)
        }
    }

    private static func order(_ kind: String, _ state: PlacementOrder.State, _ reason: String?) -> JSONValue {
        var members: [String: JSONValue] = ["state": .string(state.rawValue)]
        if let reason { members["reason"] = .string(reason) }
        return .object([kind: .object(members)])
    }

    static func decode<Value: Decodable>(_ answer: JSONValue, _ key: String) throws -> Value {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(Value.self, from: try JSONEncoder().encode(answer[key] ?? .null))
    }

    /// For a path or a query: everything but letters, digits and a few signs as `%XX`.
    static func escaped(_ text: String) -> String {
        let plain = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~".utf8)
        return text.utf8.reduce(into: "") { result, byte in
            if plain.contains(byte) {
                result.unicodeScalars.append(Unicode.Scalar(byte))
            } else {
                result += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
            }
        }
    }
}

/// Text that stands for itself in a POSIX regular expression.
enum RegularText {
    static func quoted(_ text: String) -> String {
        text.reduce(into: "") { result, character in
            if "\\^$.|?*+()[]{}".contains(character) { result.append("\\") }
            result.append(character)
        }
    }
}

/// Why the cells API did not do what was asked, in words that say what to do.
package enum CellsFailure: Error, Sendable, Equatable, CustomStringConvertible {
    /// The API does not answer.
    case unreachable(url: String, String)
    /// It does not take the administrator's password.
    case unauthorized
    case unknown(String, nearest: String?)
    /// It is not allowed, for a reason that is the state's.
    case refused(String)
    /// The cloud's part that is needed does not answer.
    case unavailable(String)
    case failed(String)

    init(_ failure: CloudClient.Failure, url: String) {
        let message = Self.message(failure.detail)
        switch failure.status {
        case nil: self = .unreachable(url: url, failure.detail)
        case 401: self = .unauthorized
        case 404: self = .unknown(message, nearest: nil)
        case 400, 403, 409: self = .refused(message)
        case 503: self = .unavailable(message)
        case .some(let status): self = .failed("the API answered \(status) to \(failure.request): \(message)")
        }
    }

    package var description: String {
        switch self {
        case .unreachable(let url, let why):
            "the API at \(url) does not answer (\(why)). See `cellwright doctor`; "
                + "`cellwright apply` starts what is stopped"
        case .unauthorized:
            "the API does not take the administrator's password that .cellwright holds. "
                + "If somebody changed it, put it back with `openstack user set --password` or restore .cellwright/secrets"
        case .unknown(let what, let nearest):
            "there is no \(what)" + (nearest.map { "; did you mean \($0)?" } ?? "")
        case .refused(let why), .unavailable(let why), .failed(let why): why
        }
    }

    /// What a fault says: `{"itemNotFound": {"code": 404, "message": "..."}}`.
    private static func message(_ body: String) -> String {
        do {
            let fault = try JSONDecoder().decode(JSONValue.self, from: Data(body.utf8))
            return fault.object?.values.first?["message"]?.string ?? body
        } catch {
            return body
        }
    }
}

extension Deployment {
    /// The cells API with the administrator's password.
    /// - Throws: ``CellsFailure`` when it does not answer or does not take the password.
    package func cells() async throws -> CellsClient {
        let passwords = UserPasswords(settings: settings, secrets: secrets)
        guard let password = try passwords.existing(of: passwords.administrator) else {
            throw CellsFailure.refused(
                "\(settings.stateFolder) has no administrator's password: run `cellwright apply` first")
        }
        let url = settings.topology.publicURL
        let cache = TokenCache(path: settings.tokenPath, url: url, authority: settings.authorityPath)
        if let client = try await known(cache, url: url) { return client }
        let name = BootstrapDocument.administratorName
        do {
            let cloud = try await CloudClient.login(
                url: url, authority: settings.authorityPath, user: name, password: password, project: name)
            try cache.keep(cloud)
            return CellsClient(cloud, url: url)
        } catch let failure as CloudClient.Failure {
            throw CellsFailure(failure, url: url)
        }
    }

    /// A client with the token of last time, if the API still takes it.
    private func known(_ cache: TokenCache, url: String) async throws -> CellsClient? {
        guard let cloud = cache.client() else { return nil }
        let client = CellsClient(cloud, url: url)
        do {
            try await client.probe()
            return client
        } catch CellsFailure.unauthorized {
            return nil
        }
    }
}
