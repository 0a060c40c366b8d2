import CloudModel
import FoundationEssentials
import HTTPKit
import HTTPTypes
import Hummingbird
import Primitives

/// `/os-keypairs`.
struct KeyPairEndpoints: ComputeEndpoints {
    private let store: any KeyPairStore
    private let quotas: any ComputeQuotaStore
    private let generator: any KeyGenerator
    private let wallClock: any WallClock

    init(_ dependencies: ComputeDependencies) {
        store = dependencies.keyPairs
        quotas = dependencies.quotas
        generator = dependencies.keyGenerator
        wallClock = dependencies.wallClock
    }

    var routes: [ComputeRoute] {
        [
            ComputeRoute(.get, "os-keypairs", .any, list),
            ComputeRoute(.post, "os-keypairs", .any, create),
            ComputeRoute(.get, "os-keypairs/{id}", .any, show),
            ComputeRoute(.delete, "os-keypairs/{id}", .any, delete),
        ]
    }

    private func list(_ request: ComputeRequest) async throws -> Response {
        let user = try user(of: request, parameters: request.version >= 35 ? ["limit", "marker"] : [])
        var pairs = try await store.all(of: user)[...]
        var body: [String: JSONValue] = [:]
        if request.version >= 35 {
            let page = try request.page()
            if let marker = page.marker {
                guard let index = pairs.firstIndex(where: { $0.name == marker }) else {
                    throw APIFault.badRequest("marker [\(marker.prefix(255))] not found")
                }
                pairs = pairs[(index + 1)...]
            }
            if pairs.count > page.limit {
                pairs = pairs.prefix(page.limit)
                if let last = pairs.last {
                    body["keypairs_links"] = [
                        ["rel": "next", "href": .string(request.nextLink("os-keypairs", lastID: last.name))]
                    ]
                }
            }
        }
        body["keypairs"] = .array(pairs.map { ["keypair": .object(Self.members($0, request))] })
        return .json(.object(body))
    }

    private func create(_ request: ComputeRequest) async throws -> Response {
        var body = try await request.body("keypair")
        let name = try self.name(&body, request)
        let kind = request.version >= 2 ? try self.kind(&body) : .ssh
        let publicKey = try body.string("public_key")
        if request.version >= 92 && publicKey == nil { throw body.missing("public_key") }
        var user = request.userID
        if request.version >= 10, let other = try body.string("user_id", length: 1...255) {
            user = UserID(other)
        }
        try body.finish()
        guard user == request.userID || request.isAdmin else { throw request.forbidden() }

        var pair = KeyPair(
            userID: user, name: name, kind: kind, publicKey: publicKey ?? "", fingerprint: "",
            createdAt: wallClock.now())
        var privateKey: String?
        if publicKey == nil {
            guard kind == .ssh else {
                throw APIFault.badRequest("Certificates are not generated here: send a public_key.")
            }
            let key = generator.generate(comment: "Generated-by-Cellwright")
            pair.publicKey = key.publicText
            privateKey = key.privateText
        }
        pair.fingerprint = try Self.fingerprint(pair)
        do {
            let limit = try await quotas.quota(of: request.project, for: user).keyPairs
            pair = try await store.insert(pair, limit: limit)
        } catch is KeyPairExists {
            throw APIFault.conflict("Key pair '\(name)' already exists.")
        }
        var members = Self.members(pair, request)
        members["user_id"] = .string(pair.userID.text)
        if let privateKey { members["private_key"] = .string(privateKey) }
        return .json(["keypair": .object(members)], status: request.version >= 2 ? .created : .ok)
    }

    private func show(_ request: ComputeRequest) async throws -> Response {
        let user = try user(of: request)
        guard let pair = try await store.find(request.id, of: user) else { throw Self.notFound(request.id, user) }
        var members = Self.members(pair, request)
        members["user_id"] = .string(pair.userID.text)
        members["id"] = .integer(pair.id)
        members["created_at"] = .string(Timestamp.naiveMicroseconds(pair.createdAt))
        members["deleted"] = false
        for key in ["deleted_at", "updated_at"] { members[key] = .null }
        return .json(["keypair": .object(members)])
    }

    private func delete(_ request: ComputeRequest) async throws -> Response {
        let user = try user(of: request)
        guard try await store.delete(request.id, of: user) else { throw Self.notFound(request.id, user) }
        return .empty(request.version >= 2 ? .noContent : .accepted)
    }

    /// Administrators may name another user from 2.10 on.
    private func user(of request: ComputeRequest, parameters: [String] = []) throws(APIFault) -> UserID {
        try request.checkQuery(parameters + (request.version >= 10 ? ["user_id"] : []), strictFrom: 75)
        guard request.version >= 10, let other = request.query["user_id"] else { return request.userID }
        guard request.isAdmin || other == request.userID.text else { throw request.forbidden() }
        return UserID(other)
    }

    private func kind(_ body: inout JSONObjectReader) throws(APIFault) -> KeyPair.Kind {
        guard let text = try body.string("type") else { return .ssh }
        guard let kind = KeyPair.Kind(rawValue: text) else {
            throw body.invalid("type", .string(text), "is not one of ['ssh', 'x509']")
        }
        return kind
    }

    private func name(_ body: inout JSONObjectReader, _ request: ComputeRequest) throws(APIFault) -> String {
        let name = try body.requiredName()
        let extra = request.version >= 92 ? " _-@." : " _-"
        let isSafe = name.unicodeScalars.allSatisfy { scalar in
            scalar.isASCII
                && (Character(scalar).isLetter || Character(scalar).isNumber || extra.unicodeScalars.contains(scalar))
        }
        guard isSafe else {
            throw .badRequest("Keypair data is invalid: Keypair name contains unsafe characters")
        }
        return name
    }

    private static func fingerprint(_ pair: KeyPair) throws(APIFault) -> String {
        let text: String? =
            switch pair.kind {
            case .ssh: OpenSSHKey(pair.publicKey)?.fingerprint
            case .x509: Fingerprint.certificate(pair.publicKey)
            }
        guard let text else { throw .badRequest("Keypair data is invalid: failed to generate fingerprint") }
        return text
    }

    private static func members(_ pair: KeyPair, _ request: ComputeRequest) -> [String: JSONValue] {
        var members: [String: JSONValue] = [
            "name": .string(pair.name), "public_key": .string(pair.publicKey),
            "fingerprint": .string(pair.fingerprint),
        ]
        if request.version >= 2 { members["type"] = .string(pair.kind.rawValue) }
        return members
    }

    private static func notFound(_ name: String, _ user: UserID) -> APIFault {
        .notFound("Keypair \(name.prefix(255)) not found for user \(user)")
    }
}
