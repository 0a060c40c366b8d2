import HTTPTypes
package import Hummingbird

/// Judges tokens. Identity's own validates in memory; an existing Keystone is asked over HTTP.
package protocol TokenValidator: Sendable {
    /// Who the token speaks for, or nil when it is not valid (unknown, expired, revoked: nobody learns which).
    /// - Throws: when it can't be judged just now.
    func validate(_ token: String) async throws -> AuthContext?
}

/// Lets only requests with a valid `X-Auth-Token` through and puts their caller in the context.
package struct Authentication: RouterMiddleware {
    package typealias Context = APIContext

    /// Characters of a token that are looked at; longer ones are refused.
    package static let tokenLimit = 8192

    private let validator: any TokenValidator
    private let authURL: String?

    /// - Parameter authURL: where to authenticate, for `WWW-Authenticate`; nil for `/identity` on this server.
    package init(_ validator: any TokenValidator, authURL: String? = nil) {
        self.validator = validator
        self.authURL = authURL
    }

    package func handle(
        _ request: Request, context: APIContext, next: @concurrent (Request, APIContext) async throws -> Response
    ) async throws -> Response {
        guard let token = request.headers[.authToken], !token.isEmpty, token.utf8.count <= Self.tokenLimit,
            let auth = try await validator.validate(token)
        else {
            var response = KeystoneFaults().render(.unauthorized(), context: context)
            response.headers[.wwwAuthenticate] = "Keystone uri=\"\(authURL ?? context.baseURL + "/identity")\""
            return response
        }
        var context = context
        context.auth = auth
        context.record.note(auth)
        return try await next(request, context)
    }
}
