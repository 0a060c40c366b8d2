import CloudModel
import HTTPKit
import Hummingbird
import Primitives

extension IdentityService {
    private static let nameLimit = 255

    func addUsers(to routes: RouterGroup<APIContext>) {
        routes.get("users") { request, context in
            _ = try context.requireAdmin("list_users")
            let query = try request.queryParameters()
            var filter = AccountFilter(name: query["name"], domainID: query["domain_id"].map { DomainID($0) })
            filter.isEnabled = try query.bool("enabled")
            let view = IdentityView(context)
            let users = try await repository.users(filter)
            return view.list("users", users.map(view.user), path: "users", query: request.uri.query)
        }
        routes.post("users") { request, context in
            _ = try context.requireAdmin("create_user")
            let user = try await newUser(try await context.jsonObject(request, key: "user"))
            try await repository.insert(user)
            return Response.json(["user": IdentityView(context).user(user)], status: .created)
        }
        routes.get("users/{user}") { _, context in
            let user = try await existingUser(context)
            _ = try context.require(user.id, orAdminFor: "get_user")
            return Response.json(["user": IdentityView(context).user(user)])
        }
        routes.patch("users/{user}") { request, context in
            _ = try context.requireAdmin("update_user")
            return try await updateUser(try await context.jsonObject(request, key: "user"), context)
        }
        routes.delete("users/{user}") { _, context in
            _ = try context.requireAdmin("delete_user")
            let user = try await existingUser(context)
            let revocation = authority.revocation(of: .user(user.id))
            guard try await repository.deleteUser(user.id, revoking: revocation) else {
                throw APIFault.notFound("Could not find user: \(user.id).")
            }
            note(revocation)
            return Response.empty()
        }
        routes.get("users/{user}/projects") { request, context in
            let user = try await existingUser(context)
            _ = try context.require(user.id, orAdminFor: "list_user_projects")
            let view = IdentityView(context)
            let projects = try await repository.projects(ofUser: user.id)
            let path = "users/\(user.id)/projects"
            return view.list("projects", projects.map(view.project), path: path, query: request.uri.query)
        }
        routes.get("users/{user}/groups") { request, context in
            let user = try await existingUser(context)
            _ = try context.require(user.id, orAdminFor: "list_groups_for_user")
            let path = "users/\(user.id)/groups"
            return IdentityView(context).list("groups", [], path: path, query: request.uri.query)
        }
        routes.get("groups") { request, context in
            _ = try context.requireAdmin("list_groups")
            return IdentityView(context).list("groups", [], path: "groups", query: request.uri.query)
        }
        routes.get("groups/{id}") { _, context -> Response in
            throw APIFault.notFound("Could not find group: \(context.parameter("id")).")
        }
    }

    func existingUser(_ context: APIContext) async throws -> User {
        let id = UserID(context.parameter("user"))
        guard let user = try await repository.user(id) else {
            throw APIFault.notFound("Could not find user: \(id).")
        }
        return user
    }

    private func newUser(_ body: JSONObjectReader) async throws -> User {
        var body = body
        let name = try body.requiredString("name", length: 1...Self.nameLimit)
        let domain = try await domain(body.string("domain_id", nullable: true))
        let isEnabled = try body.bool("enabled", nullable: true) ?? true
        let project = try body.string("default_project_id", nullable: true).map { ProjectID($0) }
        let password = try body.password("password")
        var user = User(
            id: UserID(newID()), name: name, domainID: domain, isEnabled: isEnabled, defaultProjectID: project,
            extra: body.extra)
        if let password { user.passwordHash = try await hasher.hash(password) }
        return user
    }

    private func updateUser(_ body: JSONObjectReader, _ context: APIContext) async throws -> Response {
        var body = body
        var user = try await existingUser(context)
        user.passwordHash = nil  // kept as it is unless a new one comes
        var isRevoking = false
        if let name = try body.string("name", length: 1...Self.nameLimit) { user.name = name }
        if let isEnabled = try body.bool("enabled") {
            isRevoking = user.isEnabled && !isEnabled
            user.isEnabled = isEnabled
        }
        if body.has("default_project_id") {
            user.defaultProjectID = try body.string("default_project_id", nullable: true).map { ProjectID($0) }
        }
        if let domain = try body.string("domain_id", nullable: true), domain != user.domainID.text {
            throw APIFault.badRequest("Changing domain_id is not supported.")
        }
        if let password = try body.password("password") {
            user.passwordHash = try await hasher.hash(password)
            isRevoking = true
        }
        user.extra.merge(body.extra) { $1 }
        let revocation = isRevoking ? authority.revocation(of: .user(user.id)) : nil
        guard try await repository.update(user, revoking: revocation) else {
            throw APIFault.notFound("Could not find user: \(user.id).")
        }
        if let revocation { note(revocation) }
        return .json(["user": IdentityView(context).user(user)])
    }

    /// By the user, who shows the old password and needs no token. Other tokens of the user end with it.
    func changePassword(_ request: Request, _ context: APIContext) async throws -> Response {
        var body = try await context.jsonObject(request, key: "user")
        guard let original = try body.password("original_password") else { throw body.missing("original_password") }
        guard let password = try body.password("password") else { throw body.missing("password") }
        let found = try await repository.user(UserID(context.parameter("user")))
        guard try await hasher.verify(original, against: found?.passwordHash), var user = found, user.isEnabled else {
            throw APIFault.unauthorized()
        }
        user.passwordHash = try await hasher.hash(password)
        let revocation = authority.revocation(of: .user(user.id))
        guard try await repository.update(user, revoking: revocation) else { throw APIFault.unauthorized() }
        note(revocation)
        return .empty()
    }
}

extension JSONObjectReader {
    /// A password of a length that is looked at whole. It stands in no message.
    mutating func password(_ key: String) throws(APIFault) -> Secret? {
        guard let value = value(key), value != .null else { return nil }
        guard case .string(let text) = value, (1...PasswordHasher.passwordLimit).contains(text.utf8.count) else {
            throw .badRequest(
                "Invalid input for field/attribute \(key): a text of 1 to \(PasswordHasher.passwordLimit) bytes is needed."
            )
        }
        return Secret(text)
    }
}
