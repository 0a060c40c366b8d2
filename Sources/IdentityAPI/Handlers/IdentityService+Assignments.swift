import CloudModel
import HTTPKit
import Hummingbird
import Primitives

extension IdentityService {
    func addAssignments(to routes: RouterGroup<APIContext>) {
        let grants = routes.group("projects/{project}/users/{user}/roles")
        grants.get { request, context in
            _ = try context.requireAdmin("list_grants")
            let (project, user) = (try await existingProject(context), try await existingUser(context))
            let assigned = try await repository.assignments(user: user.id, project: project.id, role: nil)
            let roles = try await repository.roles(name: nil).filter { role in
                assigned.contains { $0.roleID == role.id }
            }
            let view = IdentityView(context)
            let path = "projects/\(project.id)/users/\(user.id)/roles"
            return view.list("roles", roles.map(view.role), path: path, query: request.uri.query)
        }
        grants.put("{role}") { _, context in
            _ = try context.requireAdmin("create_grant")
            try await repository.assign(try await grant(context))
            return Response.empty()
        }
        // HEAD follows from GET: 204 when the user has the role, 404 when not.
        grants.get("{role}") { _, context in
            _ = try context.requireAdmin("check_grant")
            let wanted = try await grant(context)
            let found = try await repository.assignments(
                user: wanted.userID, project: wanted.projectID, role: wanted.roleID)
            guard !found.isEmpty else { throw Self.noAssignment(wanted) }
            return Response.empty()
        }
        grants.delete("{role}") { _, context in
            _ = try context.requireAdmin("revoke_grant")
            let wanted = try await grant(context)
            let revocation = authority.revocation(of: .membership(wanted.userID, wanted.projectID))
            guard try await repository.unassign(wanted, revoking: revocation) else {
                throw Self.noAssignment(wanted)
            }
            note(revocation)
            return Response.empty()
        }
        routes.get("role_assignments") { request, context in
            _ = try context.requireAdmin("list_role_assignments")
            return try await listAssignments(request, context)
        }
    }

    private func grant(_ context: APIContext) async throws -> RoleAssignment {
        RoleAssignment(
            userID: try await existingUser(context).id, projectID: try await existingProject(context).id,
            roleID: try await existingRole(context).id)
    }

    private static func noAssignment(_ assignment: RoleAssignment) -> APIFault {
        .notFound(
            "Could not find role assignment with role: \(assignment.roleID), user: \(assignment.userID), "
                + "project: \(assignment.projectID).")
    }

    private func listAssignments(_ request: Request, _ context: APIContext) async throws -> Response {
        let query = try request.queryParameters()
        func flag(_ name: String) throws -> Bool {
            guard let text = query[name] else { return false }
            return QueryParameters.bool(text) ?? true  // a bare `include_names` means yes
        }
        let view = IdentityView(context)
        // No groups, domain or system assignments exist, so asking for them finds nothing.
        let isElsewhere = ["group.id", "scope.domain.id", "scope.system"].contains { query.has($0) }
        let effective = try flag("effective")
        let role = query["role.id"].map { RoleID($0) }
        var found: [RoleAssignment] = []
        if !isElsewhere {
            found = try await repository.assignments(
                user: query["user.id"].map { UserID($0) }, project: query["scope.project.id"].map { ProjectID($0) },
                role: effective ? nil : role)
        }
        if effective {
            found = Self.expand(found, try await repository.implications())
            if let role { found.removeAll { $0.roleID != role } }
        }
        let names = try flag("include_names") ? try await AssignmentNames(repository) : nil
        return view.list(
            "role_assignments", found.map { assignment($0, names, view) }, path: "role_assignments",
            query: request.uri.query)
    }

    /// With what assigned roles imply, each once.
    private static func expand(
        _ assignments: [RoleAssignment], _ implications: [RoleImplication]
    ) -> [RoleAssignment] {
        var seen: Set<RoleAssignment> = []
        var expanded: [RoleAssignment] = []
        var rest = Array(assignments.reversed())
        while let next = rest.popLast() {
            guard seen.insert(next).inserted else { continue }
            expanded.append(next)
            for implication in implications where implication.prior == next.roleID {
                rest.append(.init(userID: next.userID, projectID: next.projectID, roleID: implication.implied))
            }
        }
        return expanded
    }

    private func assignment(_ item: RoleAssignment, _ names: AssignmentNames?, _ view: IdentityView) -> JSONValue {
        var role: [String: JSONValue] = ["id": .string(item.roleID.text)]
        var user: [String: JSONValue] = ["id": .string(item.userID.text)]
        var project: [String: JSONValue] = ["id": .string(item.projectID.text)]
        if let names {
            role["name"] = JSONValue(names.roles[item.roleID])
            user["name"] = JSONValue(names.users[item.userID]?.name)
            user["domain"] = names.domain(names.users[item.userID]?.domainID)
            project["name"] = JSONValue(names.projects[item.projectID]?.name)
            project["domain"] = names.domain(names.projects[item.projectID]?.domainID)
        }
        let link = "\(view.url)/projects/\(item.projectID)/users/\(item.userID)/roles/\(item.roleID)"
        return [
            "role": .object(role), "user": .object(user), "scope": ["project": .object(project)],
            "links": ["assignment": .string(link)],
        ]
    }
}

/// Names for a list of assignments.
private struct AssignmentNames {
    let roles: [RoleID: String]
    let users: [UserID: User]
    let projects: [ProjectID: Project]
    let domains: [DomainID: String]

    init(_ repository: any IdentityRepository) async throws {
        func index<ID: Hashable, Item, Value>(_ items: [Item], _ id: (Item) -> ID, _ value: (Item) -> Value)
            -> [ID: Value]
        { Dictionary(items.map { (id($0), value($0)) }, uniquingKeysWith: { $1 }) }
        roles = index(try await repository.roles(name: nil), \.id, \.name)
        users = index(try await repository.users(AccountFilter()), \.id, { $0 })
        projects = index(try await repository.projects(AccountFilter()), \.id, { $0 })
        domains = index(try await repository.domains(name: nil), \.id, \.name)
    }

    func domain(_ id: DomainID?) -> JSONValue {
        guard let id else { return .null }
        return ["id": .string(id.text), "name": JSONValue(domains[id])]
    }
}
