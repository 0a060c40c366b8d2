package import FoundationEssentials

// The ports of identity. Adapters: `PostgresIdentityRepository`, and an in-memory stand-in for tests; one contract suite.
// Changes that take rights away carry the revocation that belongs to them, and both are stored in one transaction.

/// Why identity's storage said no.
package enum IdentityStoreError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The name is taken, in its domain or of its user.
    case duplicate
    /// Something that is referred to (user, project, role) is not there.
    case dangling
    /// A text that can't be stored, such as one with a NUL character.
    case invalidText
    /// The storage can't answer just now; the text is for the log.
    case unavailable(String)

    package var description: String {
        switch self {
        case .duplicate: "the name is taken"
        case .dangling: "something referred to does not exist"
        case .invalidText: "a text can't be stored"
        case .unavailable(let reason): "identity's storage is unavailable: \(reason)"
        }
    }
}

/// Which users or projects a list wants; nil fields want any.
package struct AccountFilter: Sendable, Equatable {
    package var name: String?
    package var domainID: DomainID?
    package var isEnabled: Bool?
    package init(name: String? = nil, domainID: DomainID? = nil, isEnabled: Bool? = nil) {
        self.name = name
        self.domainID = domainID
        self.isEnabled = isEnabled
    }
}

/// Domains, projects and users.
package protocol AccountRepository: Sendable {
    func domains(name: String?) async throws(IdentityStoreError) -> [IdentityDomain]
    func domain(_ id: DomainID) async throws(IdentityStoreError) -> IdentityDomain?
    func insert(_ domain: IdentityDomain) async throws(IdentityStoreError)

    /// By name. At most ``identityListLimit``.
    func projects(_ filter: AccountFilter) async throws(IdentityStoreError) -> [Project]
    /// Those in which the user has a role, enabled or not, by name.
    func projects(ofUser user: UserID) async throws(IdentityStoreError) -> [Project]
    func project(_ id: ProjectID) async throws(IdentityStoreError) -> Project?
    func insert(_ project: Project) async throws(IdentityStoreError)
    /// False when there is no such project.
    func update(_ project: Project, revoking: TokenRevocation?) async throws(IdentityStoreError) -> Bool
    /// With its role assignments and application credentials. False when there is no such project.
    func deleteProject(_ id: ProjectID, revoking: TokenRevocation) async throws(IdentityStoreError) -> Bool

    /// By name. At most ``identityListLimit``.
    func users(_ filter: AccountFilter) async throws(IdentityStoreError) -> [User]
    func user(_ id: UserID) async throws(IdentityStoreError) -> User?
    func insert(_ user: User) async throws(IdentityStoreError)
    /// All but the password, unless `passwordHash` is given. False when there is no such user.
    func update(_ user: User, revoking: TokenRevocation?) async throws(IdentityStoreError) -> Bool
    /// With role assignments and application credentials. False when there is no such user.
    func deleteUser(_ id: UserID, revoking: TokenRevocation) async throws(IdentityStoreError) -> Bool
}

package protocol RoleRepository: Sendable {
    /// By name.
    func roles(name: String?) async throws(IdentityStoreError) -> [Role]
    func role(_ id: RoleID) async throws(IdentityStoreError) -> Role?
    func insert(_ role: Role) async throws(IdentityStoreError)
    func update(_ role: Role) async throws(IdentityStoreError) -> Bool
    func deleteRole(_ id: RoleID, revoking: TokenRevocation) async throws(IdentityStoreError) -> Bool

    func implications() async throws(IdentityStoreError) -> [RoleImplication]
    /// Repeating it is harmless.
    func insert(_ implication: RoleImplication) async throws(IdentityStoreError)

    /// Nil fields want any. At most ``identityListLimit``.
    func assignments(
        user: UserID?, project: ProjectID?, role: RoleID?
    ) async throws(IdentityStoreError) -> [RoleAssignment]
    /// What the user may do in the project: assigned roles and those they imply, by name.
    func effectiveRoles(user: UserID, project: ProjectID) async throws(IdentityStoreError) -> [Role]
    /// Repeating it is harmless.
    func assign(_ assignment: RoleAssignment) async throws(IdentityStoreError)
    /// False when there was no such assignment.
    func unassign(_ assignment: RoleAssignment, revoking: TokenRevocation) async throws(IdentityStoreError) -> Bool
}

package protocol ApplicationCredentialRepository: Sendable {
    /// By name.
    func applicationCredentials(
        user: UserID, name: String?
    ) async throws(IdentityStoreError) -> [ApplicationCredential]
    func applicationCredential(_ id: ApplicationCredentialID) async throws(IdentityStoreError) -> ApplicationCredential?
    func insert(_ credential: ApplicationCredential) async throws(IdentityStoreError)
    func deleteApplicationCredential(
        _ id: ApplicationCredentialID, revoking: TokenRevocation
    ) async throws(IdentityStoreError) -> Bool
}

/// Revocations, shared by all replicas of the API.
package protocol RevocationRepository: Sendable {
    func add(_ revocation: TokenRevocation) async throws(IdentityStoreError)
    /// Those that have not expired at `time`.
    func revocations(at time: Date) async throws(IdentityStoreError) -> [TokenRevocation]
    /// Tells `body` of every revocation of every replica until cancelled: ``RevocationChange/reload`` first, and again
    /// whenever some may have been missed.
    func watchRevocations(_ body: @Sendable (RevocationChange) async -> Void) async
}

/// Rows of one list, at most.
package let identityListLimit = 10_000

package typealias IdentityRepository = AccountRepository & RoleRepository & ApplicationCredentialRepository
    & RevocationRepository
