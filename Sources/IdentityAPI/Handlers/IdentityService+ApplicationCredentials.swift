import CloudModel
import FoundationEssentials
import HTTPKit
import Hummingbird
import Primitives

extension IdentityService {
    private static let nameLimit = 255
    private static let secretBytes = 48

    func addApplicationCredentials(to routes: RouterGroup<APIContext>) {
        let own = routes.group("users/{user}/application_credentials")
        own.get { request, context in
            let user = try await existingUser(context)
            _ = try context.require(user.id, orAdminFor: "list_application_credentials")
            let name = try request.queryParameters()["name"]
            let found = try await repository.applicationCredentials(user: user.id, name: name)
            let roles = try await repository.roles(name: nil)
            let view = IdentityView(context)
            return view.list(
                "application_credentials", found.map { view.credential($0, roles: Self.roles(of: $0, in: roles)) },
                path: "users/\(user.id)/application_credentials", query: request.uri.query)
        }
        own.post { request, context in
            let body = try await context.jsonObject(request, key: "application_credential")
            return try await createCredential(body, context)
        }
        own.get("{credential}") { _, context in
            let credential = try await existingCredential(context, action: "get_application_credential")
            let roles = Self.roles(of: credential, in: try await repository.roles(name: nil))
            return Response.json(["application_credential": IdentityView(context).credential(credential, roles: roles)])
        }
        own.delete("{credential}") { _, context in
            let credential = try await existingCredential(context, action: "delete_application_credential")
            guard try !context.requireAuth().isRestricted else {
                throw APIContext.refusal("delete_application_credential")
            }
            let revocation = authority.revocation(of: .applicationCredential(credential.id))
            guard try await repository.deleteApplicationCredential(credential.id, revoking: revocation) else {
                throw Self.noCredential(credential.id.text)
            }
            note(revocation)
            return Response.empty()
        }
        routes.get("users/{user}/access_rules") { request, context in
            let user = try await existingUser(context)
            _ = try context.require(user.id, orAdminFor: "list_access_rules")
            let path = "users/\(user.id)/access_rules"
            return IdentityView(context).list("access_rules", [], path: path, query: request.uri.query)
        }
    }

    private func existingCredential(_ context: APIContext, action: String) async throws -> ApplicationCredential {
        let user = try await existingUser(context)
        _ = try context.require(user.id, orAdminFor: action)
        let id = context.parameter("credential")
        guard let credential = try await repository.applicationCredential(ApplicationCredentialID(id)),
            credential.userID == user.id
        else { throw Self.noCredential(id) }
        return credential
    }

    private static func noCredential(_ id: String) -> APIFault {
        .notFound("Could not find application credential: \(id).")
    }

    /// Only by the user, in the project of the token, and with no more roles than it carries.
    private func createCredential(_ body: JSONObjectReader, _ context: APIContext) async throws -> Response {
        let auth = try context.requireAuth()
        guard auth.userID.text == context.parameter("user"), !auth.isRestricted else {
            throw APIContext.refusal("create_application_credential")
        }
        let project = try auth.requireProject()
        var body = body
        let name = try body.requiredString("name", length: 1...Self.nameLimit)
        let description = try body.string("description", nullable: true) ?? ""
        let isUnrestricted = try body.bool("unrestricted", nullable: true) ?? false
        let expiresAt = try expiry(try body.string("expires_at", nullable: true))
        let given = try body.password("secret")
        if let rules = try body.array("access_rules", nullable: true), !rules.isEmpty {
            throw APIFault.badRequest("Access rules are not supported.")
        }
        if let wanted = try body.string("project_id", nullable: true), wanted != project.id.text {
            throw APIFault.badRequest("project_id can only be the project of the token.")
        }
        let roles = try Self.roles(try body.objects("roles", nullable: true), of: auth)
        let secret = given ?? Secret(Base64URL.encode(SecureBytes.make(Self.secretBytes)))
        let credential = ApplicationCredential(
            id: ApplicationCredentialID(newID()), name: name, userID: auth.userID, projectID: project.id,
            secretHash: try await hasher.hash(secret), roleIDs: roles.map(\.id), description: description,
            expiresAt: expiresAt, isUnrestricted: isUnrestricted)
        try await repository.insert(credential)
        let view = IdentityView(context).credential(credential, roles: roles, secret: secret)
        return .json(["application_credential": view], status: .created)
    }

    private func expiry(_ text: String?) throws(APIFault) -> Date? {
        guard let text else { return nil }
        guard let date = Timestamp.parse(text) else {
            throw .badRequest("Invalid input for field/attribute expires_at: not an ISO 8601 time.")
        }
        guard date > authority.now() else {
            throw .badRequest("Invalid input for field/attribute expires_at: it lies in the past.")
        }
        return date
    }

    private static func roles(_ wanted: [JSONObjectReader]?, of auth: AuthContext) throws(APIFault) -> [Role] {
        let own = auth.roles.map { Role(id: RoleID($0.id), name: $0.name) }
        guard let wanted, !wanted.isEmpty else { return own }
        var roles: [Role] = []
        for entry in wanted {
            var entry = entry
            let (id, name) = (try entry.string("id"), try entry.string("name"))
            guard let role = own.first(where: { $0.id.text == id || (id == nil && $0.name == name) }) else {
                throw .badRequest("A role was asked for that the token does not carry: \(id ?? name ?? "?").")
            }
            roles.append(role)
        }
        return roles
    }

    private static func roles(of credential: ApplicationCredential, in roles: [Role]) -> [Role] {
        roles.filter { credential.roleIDs.contains($0.id) }
    }
}
