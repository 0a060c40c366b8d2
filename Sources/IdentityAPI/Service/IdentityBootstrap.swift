package import CloudModel
import FoundationEssentials
package import Primitives

/// What a new cloud's identity begins with.
package struct BootstrapDocument: Codable, Sendable, Equatable {
    package struct Project: Codable, Sendable, Equatable {
        package var name: String
        /// As it shall be; `nil` leaves it as it is.
        package var description: String?
        package init(name: String, description: String? = nil) {
            self.name = name
            self.description = description
        }
    }

    package struct User: Codable, Sendable, Equatable {
        package var name: String
        package var password: Secret
        /// Where the user has `roles`, and ends up without a scope.
        package var project: String
        package var roles: [String]
        package init(name: String, password: Secret, project: String, roles: [String]) {
            self.name = name
            self.password = password
            self.project = project
            self.roles = roles
        }
    }

    package var projects: [Project]
    package var users: [User]

    package init(projects: [Project], users: [User]) {
        self.projects = projects
        self.users = users
    }
}

/// Something that ``IdentityBootstrap`` had to do.
package enum BootstrapChange: Sendable, Equatable, CustomStringConvertible {
    case domain(String)
    case role(String)
    case implication(prior: String, implied: String)
    case project(String)
    case describedProject(String)
    case user(String)
    case password(user: String)
    case assignment(user: String, project: String, role: String)

    package var description: String {
        switch self {
        case .domain(let name): "created domain \(name)"
        case .role(let name): "created role \(name)"
        case .implication(let prior, let implied): "role \(prior) implies \(implied)"
        case .project(let name): "created project \(name)"
        case .describedProject(let name): "changed the description of project \(name)"
        case .user(let name): "created user \(name)"
        case .password(let user): "changed the password of user \(user)"
        case .assignment(let user, let project, let role): "user \(user) has role \(role) in project \(project)"
        }
    }
}

package enum BootstrapError: Error, Sendable, Equatable, CustomStringConvertible {
    case unknownProject(user: String, project: String)
    case unknownRole(user: String, role: String)

    package var description: String {
        switch self {
        case .unknownProject(let user, let project): "user \(user): there is no project \(project)"
        case .unknownRole(let user, let role): "user \(user): there is no role \(role)"
        }
    }
}

/// Makes identity so that it has everything a document names. Repeating it changes nothing; it never takes away.
package struct IdentityBootstrap: Sendable {
    /// Each implies the next.
    private static let ladder = ["admin", "manager", "member", "reader"]
    private static let roles = ladder + ["service"]

    private let repository: any IdentityRepository
    private let hasher: PasswordHasher
    private let authority: TokenAuthority
    private let ids: any IDSource

    package init(
        repository: any IdentityRepository, hasher: PasswordHasher, authority: TokenAuthority, ids: any IDSource
    ) {
        self.repository = repository
        self.hasher = hasher
        self.authority = authority
        self.ids = ids
    }

    /// - Returns: what had to be done, nothing the second time.
    /// - Throws: ``BootstrapError`` for a document that contradicts itself, and the storage's errors.
    package func run(_ document: BootstrapDocument) async throws -> [BootstrapChange] {
        var changes: [BootstrapChange] = []
        if try await repository.domain(IdentityDomain.defaultID) == nil {
            try await repository.insert(IdentityDomain(id: IdentityDomain.defaultID, name: "Default"))
            changes.append(.domain("Default"))
        }
        let roles = try await ensureRoles(&changes)
        for project in document.projects { try await ensureProject(project, &changes) }
        for user in document.users { try await ensureUser(user, roles, &changes) }
        return changes
    }

    private func ensureRoles(_ changes: inout [BootstrapChange]) async throws -> [String: RoleID] {
        var known: [String: RoleID] = [:]
        for role in try await repository.roles(name: nil) { known[role.name] = role.id }
        for name in Self.roles where known[name] == nil {
            let role = Role(id: RoleID(newID()), name: name)
            try await repository.insert(role)
            known[name] = role.id
            changes.append(.role(name))
        }
        let implications = Set(try await repository.implications())
        for (prior, implied) in zip(Self.ladder, Self.ladder.dropFirst()) {
            guard let priorID = known[prior], let impliedID = known[implied] else { continue }
            let implication = RoleImplication(prior: priorID, implied: impliedID)
            guard !implications.contains(implication) else { continue }
            try await repository.insert(implication)
            changes.append(.implication(prior: prior, implied: implied))
        }
        return known
    }

    private func ensureProject(
        _ wanted: BootstrapDocument.Project, _ changes: inout [BootstrapChange]
    ) async throws {
        if var project = try await project(wanted.name) {
            guard let description = wanted.description, description != project.description else { return }
            project.description = description
            guard try await repository.update(project, revoking: nil) else { return }
            changes.append(.describedProject(wanted.name))
            return
        }
        var project = Project(id: ProjectID(newID()), name: wanted.name, domainID: IdentityDomain.defaultID)
        project.description = wanted.description ?? ""
        try await repository.insert(project)
        changes.append(.project(wanted.name))
    }

    private func project(_ name: String) async throws -> Project? {
        try await repository.projects(AccountFilter(name: name, domainID: IdentityDomain.defaultID)).first
    }

    private func ensureUser(
        _ wanted: BootstrapDocument.User, _ roles: [String: RoleID], _ changes: inout [BootstrapChange]
    ) async throws {
        guard let project = try await project(wanted.project) else {
            throw BootstrapError.unknownProject(user: wanted.name, project: wanted.project)
        }
        let filter = AccountFilter(name: wanted.name, domainID: IdentityDomain.defaultID)
        let user: User
        if var found = try await repository.users(filter).first {
            if try await !hasher.verify(wanted.password, against: found.passwordHash) {
                found.passwordHash = try await hasher.hash(wanted.password)
                _ = try await repository.update(found, revoking: authority.revocation(of: .user(found.id)))
                changes.append(.password(user: wanted.name))
            }
            user = found
        } else {
            user = User(
                id: UserID(newID()), name: wanted.name, domainID: IdentityDomain.defaultID,
                defaultProjectID: project.id, passwordHash: try await hasher.hash(wanted.password))
            try await repository.insert(user)
            changes.append(.user(wanted.name))
        }
        let assigned = try await repository.assignments(user: user.id, project: project.id, role: nil)
        for name in wanted.roles {
            guard let role = roles[name] else { throw BootstrapError.unknownRole(user: wanted.name, role: name) }
            guard !assigned.contains(where: { $0.roleID == role }) else { continue }
            try await repository.assign(RoleAssignment(userID: user.id, projectID: project.id, roleID: role))
            changes.append(.assignment(user: wanted.name, project: wanted.project, role: name))
        }
    }

    private func newID() -> String {
        let id: Identifier<Never> = ids.next()
        return id.hex
    }
}
