package import FoundationEssentials

/// Tokens that are no longer good although their signature is and they have not expired.
package struct TokenRevocation: Codable, Sendable, Hashable {
    package enum Scope: Codable, Sendable, Hashable {
        /// One token, by its first audit id.
        case token(auditID: String)
        /// All of a user: disabled, deleted, password changed.
        case user(UserID)
        /// All that are scoped to a project: disabled, deleted.
        case project(ProjectID)
        /// A user's that are scoped to a project: a role was taken away.
        case membership(UserID, ProjectID)
        /// All that were had with an application credential.
        case applicationCredential(ApplicationCredentialID)
        /// All that carry a role: the role was deleted.
        case role(RoleID)
    }

    package var scope: Scope
    /// Tokens issued at this time or before are meant; later ones are not.
    package var issuedUntil: Date
    /// No token that is meant lives longer: after this the revocation can be forgotten.
    package var expiresAt: Date

    package init(scope: Scope, issuedUntil: Date, expiresAt: Date) {
        self.scope = scope
        self.issuedUntil = issuedUntil
        self.expiresAt = expiresAt
    }
}

/// What a watcher of revocations is told.
package enum RevocationChange: Sendable, Equatable {
    /// Something may have been missed: read all revocations again. Always the first.
    case reload
    case added(TokenRevocation)
}
