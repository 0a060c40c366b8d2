package import FoundationEssentials
package import Primitives

package enum DomainSubject: Sendable {}
package enum RoleSubject: Sendable {}
package enum ApplicationCredentialSubject: Sendable {}

package typealias DomainID = Name<DomainSubject>
package typealias RoleID = Name<RoleSubject>
package typealias ApplicationCredentialID = Name<ApplicationCredentialSubject>

/// A name space of projects and users. There is one, ``defaultID``, until federation needs more.
package struct IdentityDomain: Sendable, Equatable {
    package static let defaultID: DomainID = "default"

    package var id: DomainID
    package var name: String
    package var description: String
    package var isEnabled: Bool

    package init(id: DomainID, name: String, description: String = "", isEnabled: Bool = true) {
        self.id = id
        self.name = name
        self.description = description
        self.isEnabled = isEnabled
    }
}

/// What servers, images and networks belong to.
package struct Project: Sendable, Equatable {
    package var id: ProjectID
    package var name: String
    package var domainID: DomainID
    package var description: String
    package var isEnabled: Bool
    /// Attributes that clients set and identity only keeps.
    package var extra: [String: JSONValue]

    package init(
        id: ProjectID, name: String, domainID: DomainID, description: String = "", isEnabled: Bool = true,
        extra: [String: JSONValue] = [:]
    ) {
        self.id = id
        self.name = name
        self.domainID = domainID
        self.description = description
        self.isEnabled = isEnabled
        self.extra = extra
    }
}

package struct User: Sendable, Equatable {
    package var id: UserID
    package var name: String
    package var domainID: DomainID
    package var isEnabled: Bool
    /// Where a log-in without a scope ends up, if the user has a role there.
    package var defaultProjectID: ProjectID?
    /// See `PasswordHasher`. Nil for a user who can't log in by password.
    package var passwordHash: Secret?
    /// Attributes that clients set and identity only keeps, such as `email` and `description`.
    package var extra: [String: JSONValue]

    package init(
        id: UserID, name: String, domainID: DomainID, isEnabled: Bool = true, defaultProjectID: ProjectID? = nil,
        passwordHash: Secret? = nil, extra: [String: JSONValue] = [:]
    ) {
        self.id = id
        self.name = name
        self.domainID = domainID
        self.isEnabled = isEnabled
        self.defaultProjectID = defaultProjectID
        self.passwordHash = passwordHash
        self.extra = extra
    }
}

package struct Role: Sendable, Hashable {
    package var id: RoleID
    package var name: String
    package var description: String?

    package init(id: RoleID, name: String, description: String? = nil) {
        self.id = id
        self.name = name
        self.description = description
    }
}

/// Who has `prior` has `implied` too.
package struct RoleImplication: Sendable, Hashable {
    package var prior: RoleID
    package var implied: RoleID
    package init(prior: RoleID, implied: RoleID) {
        self.prior = prior
        self.implied = implied
    }
}

/// A user's role in a project.
package struct RoleAssignment: Sendable, Hashable {
    package var userID: UserID
    package var projectID: ProjectID
    package var roleID: RoleID
    package init(userID: UserID, projectID: ProjectID, roleID: RoleID) {
        self.userID = userID
        self.projectID = projectID
        self.roleID = roleID
    }
}

/// A secret of its own with which a program acts for a user in one project, with some of the user's roles.
package struct ApplicationCredential: Sendable, Equatable {
    package var id: ApplicationCredentialID
    package var name: String
    package var userID: UserID
    package var projectID: ProjectID
    package var secretHash: Secret
    package var roleIDs: [RoleID]
    package var description: String
    package var expiresAt: Date?
    /// May make and delete application credentials itself.
    package var isUnrestricted: Bool

    package init(
        id: ApplicationCredentialID, name: String, userID: UserID, projectID: ProjectID, secretHash: Secret,
        roleIDs: [RoleID], description: String = "", expiresAt: Date? = nil, isUnrestricted: Bool = false
    ) {
        self.id = id
        self.name = name
        self.userID = userID
        self.projectID = projectID
        self.secretHash = secretHash
        self.roleIDs = roleIDs
        self.description = description
        self.expiresAt = expiresAt
        self.isUnrestricted = isUnrestricted
    }
}
