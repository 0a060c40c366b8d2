import CloudModel
import HTTPKit
import Hummingbird
import Primitives

extension IdentityService {
    private static let nameLimit = 255

    func addRoles(to routes: RouterGroup<APIContext>) {
        routes.get("roles") { request, context in
            _ = try context.requireAdmin("list_roles")
            let query = try request.queryParameters()
            let view = IdentityView(context)
            let roles = try await repository.roles(name: query["name"])
            return view.list("roles", roles.map(view.role), path: "roles", query: request.uri.query)
        }
        routes.post("roles") { request, context in
            _ = try context.requireAdmin("create_role")
            var body = try await context.jsonObject(request, key: "role")
            let role = Role(
                id: RoleID(newID()), name: try body.requiredString("name", length: 1...Self.nameLimit),
                description: try body.string("description", nullable: true))
            if try body.string("domain_id", nullable: true) != nil {
                throw APIFault.badRequest("Roles of a domain are not supported.")
            }
            try await repository.insert(role)
            return Response.json(["role": IdentityView(context).role(role)], status: .created)
        }
        routes.get("roles/{role}") { _, context in
            let role = try await existingRole(context)
            _ = try context.requireAdmin("get_role")
            return Response.json(["role": IdentityView(context).role(role)])
        }
        routes.patch("roles/{role}") { request, context in
            _ = try context.requireAdmin("update_role")
            var body = try await context.jsonObject(request, key: "role")
            var role = try await existingRole(context)
            if let name = try body.string("name", length: 1...Self.nameLimit) { role.name = name }
            if body.has("description") { role.description = try body.string("description", nullable: true) }
            guard try await repository.update(role) else { throw Self.noRole(role.id) }
            return Response.json(["role": IdentityView(context).role(role)])
        }
        routes.delete("roles/{role}") { _, context in
            _ = try context.requireAdmin("delete_role")
            let role = try await existingRole(context)
            let revocation = authority.revocation(of: .role(role.id))
            guard try await repository.deleteRole(role.id, revoking: revocation) else { throw Self.noRole(role.id) }
            note(revocation)
            return Response.empty()
        }
        addImplications(to: routes)
    }

    private func addImplications(to routes: RouterGroup<APIContext>) {
        routes.get("role_inferences") { _, context in
            _ = try context.requireAdmin("list_role_inference_rules")
            let roles = try await repository.roles(name: nil)
            let implications = try await repository.implications()
            let rules = roles.compactMap { inference(of: $0, roles: roles, implications, context) }
            return Response.json([
                "role_inferences": .array(rules),
                "links": ["self": "\(context.serviceURL)/v3/role_inferences"],
            ])
        }
        routes.get("roles/{role}/implies") { _, context in
            _ = try context.requireAdmin("list_implied_roles")
            let role = try await existingRole(context)
            let roles = try await repository.roles(name: nil)
            let rule = inference(of: role, roles: roles, try await repository.implications(), context)
            let own = "\(context.serviceURL)/v3/roles/\(role.id)/implies"
            return Response.json([
                "role_inference": rule ?? ["prior_role": IdentityView(context).role(role), "implies": []],
                "links": ["self": .string(own)],
            ])
        }
    }

    private func inference(
        of prior: Role, roles: [Role], _ implications: [RoleImplication], _ context: APIContext
    ) -> JSONValue? {
        let ids = Set(implications.filter { $0.prior == prior.id }.map(\.implied))
        guard !ids.isEmpty else { return nil }
        let view = IdentityView(context)
        return [
            "prior_role": view.role(prior), "implies": .array(roles.filter { ids.contains($0.id) }.map(view.role)),
        ]
    }

    func existingRole(_ context: APIContext) async throws -> Role {
        let id = RoleID(context.parameter("role"))
        guard let role = try await repository.role(id) else { throw Self.noRole(id) }
        return role
    }

    private static func noRole(_ id: RoleID) -> APIFault { .notFound("Could not find role: \(id).") }
}
