import CloudModel
import HTTPKit
import Primitives

/// The body of `POST /v3/auth/tokens`, taken apart. What it lacks is a 400; whether it opens anything comes later.
struct AuthRequest: Sendable, Equatable {
    enum DomainReference: Sendable, Equatable {
        case id(DomainID)
        case name(String)
    }

    enum UserReference: Sendable, Equatable {
        case id(UserID)
        case name(String, DomainReference)
    }

    enum Method: Sendable, Equatable {
        case password(UserReference, Secret)
        case token(String)
        case credential(ApplicationCredentialID, Secret)
        case namedCredential(String, UserReference, Secret)

        var name: String {
            switch self {
            case .password: "password"
            case .token: "token"
            case .credential, .namedCredential: "application_credential"
            }
        }
    }

    enum Scope: Sendable, Equatable {
        /// Nothing said: the user's default project, if any.
        case unspecified
        case unscoped
        case project(ProjectID)
        case namedProject(String, DomainReference)
        /// A domain, the system or a trust: nobody has roles there.
        case unsupported
    }

    let method: Method
    let scope: Scope

    /// - Throws: a 400, or a 401 for a method that is not known here.
    init(_ body: JSONObjectReader) throws(APIFault) {
        var auth = body
        var identity = try auth.requiredObject("identity")
        guard let methods = try identity.strings("methods"), let name = methods.first else {
            throw identity.missing("methods")
        }
        guard methods.count == 1 else { throw .unauthorized() }
        switch name {
        case "password":
            var password = try identity.requiredObject("password")
            var user = try password.requiredObject("user")
            method = .password(
                try Self.user(&user),
                Secret(try user.requiredString("password", length: 0...PasswordHasher.passwordLimit)))
        case "token":
            var token = try identity.requiredObject("token")
            method = .token(try token.requiredString("id"))
        case "application_credential":
            method = try Self.credential(try identity.requiredObject("application_credential"))
        default: throw .unauthorized()
        }
        scope = try Self.scope(auth.value("scope"))
    }

    private static func user(_ user: inout JSONObjectReader) throws(APIFault) -> UserReference {
        if let id = try user.string("id") { return .id(UserID(id)) }
        guard let name = try user.string("name") else { throw user.missing("id or name") }
        return .name(name, try domain(&user))
    }

    private static func domain(_ owner: inout JSONObjectReader) throws(APIFault) -> DomainReference {
        var domain = try owner.requiredObject("domain")
        if let id = try domain.string("id") { return .id(DomainID(id)) }
        return .name(try domain.requiredString("name"))
    }

    private static func credential(_ body: JSONObjectReader) throws(APIFault) -> Method {
        var body = body
        let secret = Secret(try body.requiredString("secret", length: 0...PasswordHasher.passwordLimit))
        if let id = try body.string("id") { return .credential(ApplicationCredentialID(id), secret) }
        let name = try body.requiredString("name")
        var user = try body.requiredObject("user")
        return .namedCredential(name, try Self.user(&user), secret)
    }

    private static func scope(_ value: JSONValue?) throws(APIFault) -> Scope {
        guard let value, value != .null else { return .unspecified }
        if value == "unscoped" { return .unscoped }
        var scope = try JSONObjectReader(value, path: "scope")
        if scope.has("unscoped") { return .unscoped }
        guard var project = try scope.object("project") else { return .unsupported }
        if let id = try project.string("id") { return .project(ProjectID(id)) }
        let name = try project.requiredString("name")
        return .namedProject(name, try domain(&project))
    }
}
