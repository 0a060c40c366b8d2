package import CloudModel
package import FoundationEssentials

/// Who makes a request, as a valid token says.
package struct AuthContext: Sendable, Equatable {
    /// An id with the name that it had when the token was made.
    package struct Named: Sendable, Hashable {
        package var id: String
        package var name: String
        package init(id: String, name: String) {
            self.id = id
            self.name = name
        }
    }

    package struct Project: Sendable, Hashable {
        package var id: ProjectID
        package var name: String
        package var domain: Named
        package init(id: ProjectID, name: String, domain: Named) {
            self.id = id
            self.name = name
            self.domain = domain
        }
    }

    package var userID: UserID
    package var userName: String
    package var userDomain: Named
    /// Nil for an unscoped token.
    package var project: Project?
    /// With those that they imply.
    package var roles: [Named]
    /// How the token was had: `password`, `token`, `application_credential`.
    package var methods: [String]
    /// Names the token in logs; it is not the token and opens nothing.
    package var auditIDs: [String]
    package var issuedAt: Date
    package var expiresAt: Date
    /// Had with an application credential that may not make others.
    package var isRestricted = false

    package init(
        userID: UserID, userName: String, userDomain: Named, project: Project?, roles: [Named], methods: [String],
        auditIDs: [String], issuedAt: Date, expiresAt: Date
    ) {
        self.userID = userID
        self.userName = userName
        self.userDomain = userDomain
        self.project = project
        self.roles = roles
        self.methods = methods
        self.auditIDs = auditIDs
        self.issuedAt = issuedAt
        self.expiresAt = expiresAt
    }

    package var projectID: ProjectID? { project?.id }
    package var roleNames: [String] { roles.map(\.name) }
    package var isAdmin: Bool { hasRole("admin") }
    package func hasRole(_ name: String) -> Bool { roles.contains { $0.name == name } }

    /// The project of a request that needs one.
    /// - Throws: a 403 for an unscoped token.
    package func requireProject() throws(APIFault) -> Project {
        guard let project else { throw .forbidden("This action needs a token that is scoped to a project.") }
        return project
    }

    /// - Throws: a 403 unless the caller has the role (an administrator has every one).
    package func require(role: String) throws(APIFault) {
        guard hasRole(role) || isAdmin else { throw .forbidden() }
    }
}
