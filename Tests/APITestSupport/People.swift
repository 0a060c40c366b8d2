package import CloudModel
import FoundationEssentials
package import HTTPKit

/// Who speaks with the APIs in tests: the token is the name.
package enum Person: String, CaseIterable, Sendable {
    /// Members of two projects.
    case ann, bob
    /// May only read, in ann's project.
    case rita
    /// Administrator, in a project of its own.
    case root
    /// Without a project.
    case nomad

    package static let annsProject: ProjectID = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    package static let bobsProject: ProjectID = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
    package static let rootsProject: ProjectID = "cccccccccccccccccccccccccccccccc"

    package var userID: UserID { UserID(String(repeating: "0", count: 28) + rawValue.prefix(4)) }

    package var project: ProjectID? {
        switch self {
        case .ann, .rita: Self.annsProject
        case .bob: Self.bobsProject
        case .root: Self.rootsProject
        case .nomad: nil
        }
    }

    private var roles: [String] {
        switch self {
        case .ann, .bob: ["member", "reader"]
        case .rita: ["reader"]
        case .root: ["admin", "manager", "member", "reader"]
        case .nomad: []
        }
    }

    var auth: AuthContext {
        let domain = AuthContext.Named(id: "default", name: "Default")
        return AuthContext(
            userID: userID, userName: rawValue, userDomain: domain,
            project: project.map { AuthContext.Project(id: $0, name: "\(rawValue)'s", domain: domain) },
            roles: roles.map { AuthContext.Named(id: $0, name: $0) }, methods: ["password"], auditIDs: ["x"],
            issuedAt: .distantPast, expiresAt: .distantFuture)
    }
}

/// Knows ``Person``s by name.
package struct PeopleTokens: TokenValidator {
    package init() {}
    package func validate(_ token: String) async throws -> AuthContext? { Person(rawValue: token)?.auth }
}
