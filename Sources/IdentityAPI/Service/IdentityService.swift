package import CloudModel
package import HTTPKit
import Hummingbird
package import Primitives

/// Identity v3, as Keystone's clients know it.
package struct IdentityService: APIService {
    package let name = "identity"
    package let path = "/identity"
    package let faults: any FaultRenderer = KeystoneFaults(Self.fault)

    let configuration: IdentityConfiguration
    let repository: any IdentityRepository
    let hasher: PasswordHasher
    let authority: TokenAuthority
    let ids: any IDSource

    package init(
        configuration: IdentityConfiguration, repository: any IdentityRepository, hasher: PasswordHasher,
        authority: TokenAuthority, ids: any IDSource
    ) {
        self.configuration = configuration
        self.repository = repository
        self.hasher = hasher
        self.authority = authority
        self.ids = ids
    }

    var authenticator: Authenticator {
        Authenticator(repository: repository, hasher: hasher, authority: authority)
    }

    package func addRoutes(to routes: APIRoutes) {
        addDiscovery(to: routes)
        let open = routes.group("v3")
        open.post("auth/tokens") { request, context in try await createToken(request, context) }
        open.post("users/{user}/password") { request, context in try await changePassword(request, context) }

        let secured = routes.group("v3").add(middleware: Authentication(authority))
        addTokens(to: secured)
        addCatalog(to: secured)
        addDomains(to: secured)
        addProjects(to: secured)
        addUsers(to: secured)
        addRoles(to: secured)
        addAssignments(to: secured)
        addApplicationCredentials(to: secured)
    }

    /// The one place where identity's own errors get a status.
    static func fault(for error: any Error) -> APIFault? {
        guard let error = error as? IdentityStoreError else { return nil }
        return switch error {
        case .duplicate: .conflict("Conflict occurred attempting to store: the name is already taken.")
        case .dangling: .notFound("Could not find something the request refers to.")
        case .invalidText: .badRequest("The request has a text with characters that are not accepted.")
        case .unavailable: .unavailable()
        }
    }

    /// Stores a revocation that nothing else carries, and knows it here at once.
    func revoke(_ scope: TokenRevocation.Scope) async throws {
        let revocation = authority.revocation(of: scope)
        try await repository.add(revocation)
        note(revocation)
    }

    /// This replica does not wait for the storage to tell.
    func note(_ revocation: TokenRevocation) {
        authority.revocations.add(revocation, now: authority.now())
    }

    /// Ids of identity are 32 hexadecimal digits.
    func newID() -> String {
        let id: Identifier<Never> = ids.next()
        return id.hex
    }
}
