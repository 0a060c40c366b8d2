import CloudModel
import HTTPKit
import Hummingbird
import Primitives

extension IdentityService {
    private static let nameLimit = 64

    func addDomains(to routes: RouterGroup<APIContext>) {
        routes.get("domains") { request, context in
            let auth = try context.requireAuth()
            let query = try request.queryParameters()
            let enabled = try query.bool("enabled")
            var domains = try await repository.domains(name: query["name"])
            if let enabled { domains.removeAll { $0.isEnabled != enabled } }
            // Others than administrators see their own.
            if !auth.isAdmin { domains.removeAll { $0.id.text != auth.userDomain.id } }
            let view = IdentityView(context)
            return view.list("domains", domains.map(view.domain), path: "domains", query: request.uri.query)
        }
        routes.get("domains/{id}") { _, context in
            let auth = try context.requireAuth()
            let id = DomainID(context.parameter("id"))
            guard let domain = try await repository.domain(id), auth.isAdmin || auth.userDomain.id == id.text else {
                throw APIFault.notFound("Could not find domain: \(id).")
            }
            return Response.json(["domain": IdentityView(context).domain(domain)])
        }
    }

    func addProjects(to routes: RouterGroup<APIContext>) {
        routes.get("projects") { request, context in
            _ = try context.requireAdmin("list_projects")
            let query = try request.queryParameters()
            var filter = AccountFilter(name: query["name"], domainID: query["domain_id"].map { DomainID($0) })
            filter.isEnabled = try query.bool("enabled")
            let isDomain = try query.bool("is_domain") ?? false
            let view = IdentityView(context)
            let found = isDomain ? [] : try await repository.projects(filter)
            return view.list("projects", found.map(view.project), path: "projects", query: request.uri.query)
        }
        routes.post("projects") { request, context in
            _ = try context.requireAdmin("create_project")
            let project = try await newProject(try await context.jsonObject(request, key: "project"))
            try await repository.insert(project)
            return Response.json(["project": IdentityView(context).project(project)], status: .created)
        }
        routes.get("projects/{project}") { _, context in
            let project = try await existingProject(context)
            let auth = try context.requireAuth()
            guard auth.isAdmin || auth.projectID == project.id else { throw APIContext.refusal("get_project") }
            return Response.json(["project": IdentityView(context).project(project)])
        }
        routes.patch("projects/{project}") { request, context in
            _ = try context.requireAdmin("update_project")
            let body = try await context.jsonObject(request, key: "project")
            return try await updateProject(body, context)
        }
        routes.delete("projects/{project}") { _, context in
            _ = try context.requireAdmin("delete_project")
            let project = try await existingProject(context)
            let revocation = authority.revocation(of: .project(project.id))
            guard try await repository.deleteProject(project.id, revoking: revocation) else {
                throw APIFault.notFound("Could not find project: \(project.id).")
            }
            note(revocation)
            return Response.empty()
        }
    }

    func existingProject(_ context: APIContext) async throws -> Project {
        let id = ProjectID(context.parameter("project"))
        guard let project = try await repository.project(id) else {
            throw APIFault.notFound("Could not find project: \(id).")
        }
        return project
    }

    private func newProject(_ body: JSONObjectReader) async throws -> Project {
        var body = body
        let name = try body.requiredString("name", length: 1...Self.nameLimit)
        let domain = try await domain(body.string("domain_id", nullable: true))
        let description = try body.string("description", nullable: true) ?? ""
        let isEnabled = try body.bool("enabled", nullable: true) ?? true
        if try body.bool("is_domain", nullable: true) == true {
            throw APIFault.badRequest("A project can't act as a domain here.")
        }
        if let parent = try body.string("parent_id", nullable: true), parent != domain.text {
            throw APIFault.badRequest("Projects within projects are not supported: parent_id can only be the domain.")
        }
        return Project(
            id: ProjectID(newID()), name: name, domainID: domain, description: description, isEnabled: isEnabled,
            extra: body.extra)
    }

    /// The domain that a new thing is to be in; the default one when none is named.
    func domain(_ id: String?) async throws -> DomainID {
        let wanted = id.map { DomainID($0) } ?? IdentityDomain.defaultID
        guard try await repository.domain(wanted) != nil else {
            throw APIFault.notFound("Could not find domain: \(wanted).")
        }
        return wanted
    }

    private func updateProject(_ body: JSONObjectReader, _ context: APIContext) async throws -> Response {
        var body = body
        var project = try await existingProject(context)
        if let name = try body.string("name", length: 1...Self.nameLimit) { project.name = name }
        if body.has("description") { project.description = try body.string("description", nullable: true) ?? "" }
        var revocation: TokenRevocation?
        if let isEnabled = try body.bool("enabled") {
            if project.isEnabled && !isEnabled { revocation = authority.revocation(of: .project(project.id)) }
            project.isEnabled = isEnabled
        }
        for key in ["domain_id", "parent_id"] {
            guard let wanted = try body.string(key, nullable: true), wanted != project.domainID.text else { continue }
            throw APIFault.badRequest("Changing \(key) is not supported.")
        }
        project.extra.merge(body.extra) { $1 }
        guard try await repository.update(project, revoking: revocation) else {
            throw APIFault.notFound("Could not find project: \(project.id).")
        }
        if let revocation { note(revocation) }
        return .json(["project": IdentityView(context).project(project)])
    }
}

extension JSONObjectReader {
    /// Members beyond those that were taken, which identity keeps as they are. Never what it makes itself.
    var extra: [String: JSONValue] {
        var rest = self
        var members: [String: JSONValue] = [:]
        for key in rest.remainingKeys where !["id", "links", "password_expires_at", "is_domain"].contains(key) {
            members[key] = rest.value(key)
        }
        return members
    }
}
