import CloudModel
import FoundationEssentials
import HTTPKit
import Hummingbird
import Primitives

/// How identity's things look on the wire.
struct IdentityView {
    /// `http://host/identity/v3`
    let url: String

    init(_ context: APIContext) { url = context.serviceURL + "/v3" }

    func list(_ name: String, _ items: [JSONValue], path: String, query: String?) -> Response {
        let own = "\(url)/\(path)\(query.map { "?\($0)" } ?? "")"
        return .json([
            name: .array(items), "links": ["next": .null, "previous": .null, "self": .string(own)],
        ])
    }

    func links(_ collection: String, _ id: String) -> JSONValue { ["self": .string("\(url)/\(collection)/\(id)")] }

    func domain(_ domain: IdentityDomain) -> JSONValue {
        [
            "id": .string(domain.id.text), "name": .string(domain.name), "description": .string(domain.description),
            "enabled": .bool(domain.isEnabled), "tags": [], "options": .object([:]),
            "links": links("domains", domain.id.text),
        ]
    }

    func project(_ project: Project) -> JSONValue {
        var view = project.extra
        view["tags"] = view["tags"] ?? []
        view["options"] = view["options"] ?? .object([:])
        view["id"] = .string(project.id.text)
        view["name"] = .string(project.name)
        view["domain_id"] = .string(project.domainID.text)
        view["parent_id"] = .string(project.domainID.text)
        view["is_domain"] = false
        view["description"] = .string(project.description)
        view["enabled"] = .bool(project.isEnabled)
        view["links"] = links("projects", project.id.text)
        return .object(view)
    }

    func user(_ user: User) -> JSONValue {
        var view = user.extra
        view["options"] = view["options"] ?? .object([:])
        view["id"] = .string(user.id.text)
        view["name"] = .string(user.name)
        view["domain_id"] = .string(user.domainID.text)
        view["enabled"] = .bool(user.isEnabled)
        view["password_expires_at"] = .null
        if let project = user.defaultProjectID { view["default_project_id"] = .string(project.text) }
        view["links"] = links("users", user.id.text)
        return .object(view)
    }

    func role(_ role: Role) -> JSONValue {
        [
            "id": .string(role.id.text), "name": .string(role.name), "domain_id": .null,
            "description": JSONValue(role.description), "options": .object([:]), "links": links("roles", role.id.text),
        ]
    }

    func credential(_ credential: ApplicationCredential, roles: [Role], secret: Secret? = nil) -> JSONValue {
        var view: [String: JSONValue] = [
            "id": .string(credential.id.text), "name": .string(credential.name),
            "user_id": .string(credential.userID.text), "project_id": .string(credential.projectID.text),
            "description": .string(credential.description), "unrestricted": .bool(credential.isUnrestricted),
            "expires_at": JSONValue(credential.expiresAt.map(Timestamp.naiveMicroseconds)), "system": .null,
            "roles": .array(
                roles.map { ["id": .string($0.id.text), "name": .string($0.name), "domain_id": .null] }),
            "links": links("users/\(credential.userID)/application_credentials", credential.id.text),
        ]
        if let secret { view["secret"] = .string(secret.reveal()) }
        return .object(view)
    }

    func token(_ token: TokenPayload, catalog: Catalog?) -> JSONValue {
        var view: [String: JSONValue] = [
            "methods": .array(token.methods.map { .string($0) }),
            "user": [
                "id": .string(token.userID.text), "name": .string(token.userName), "domain": named(token.userDomain),
                "password_expires_at": .null,
            ],
            "audit_ids": .array(token.auditIDs.map { .string($0) }),
            "issued_at": .string(Timestamp.microseconds(token.issuedAt)),
            "expires_at": .string(Timestamp.microseconds(token.expiresAt)),
        ]
        if let project = token.project {
            view["project"] = [
                "id": .string(project.id.text), "name": .string(project.name), "domain": named(project.domain),
            ]
            view["is_domain"] = false
            view["roles"] = .array(token.roles.map(named))
            if let catalog { view["catalog"] = catalog.json }
        }
        if let credential = token.credential {
            view["application_credential"] = [
                "id": .string(credential.id.text), "name": .string(credential.name),
                "restricted": .bool(credential.isRestricted),
            ]
        }
        return .object(view)
    }

    private func named(_ named: AuthContext.Named) -> JSONValue {
        ["id": .string(named.id), "name": .string(named.name)]
    }
}
