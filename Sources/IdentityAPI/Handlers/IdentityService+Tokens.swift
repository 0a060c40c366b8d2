import CloudModel
import HTTPKit
import HTTPTypes
import Hummingbird
import Primitives

extension IdentityService {
    func addTokens(to routes: RouterGroup<APIContext>) {
        routes.get("auth/tokens") { request, context in try showToken(request, context) }
        routes.delete("auth/tokens") { request, context in try await deleteToken(request, context) }
        routes.get("auth/catalog") { request, context in
            _ = try context.requireAuth().requireProject()
            let catalog = Catalog(configuration, baseURL: context.baseURL)
            return Response.json([
                "catalog": catalog.json, "links": ["self": "\(context.serviceURL)/v3/auth/catalog"],
            ])
        }
        routes.get("auth/projects") { request, context in
            try await ownProjects(request, context, path: "auth/projects")
        }
        routes.get("auth/domains") { request, context in
            IdentityView(context).list("domains", [], path: "auth/domains", query: request.uri.query)
        }
        routes.get("auth/system") { _, _ in Response.json(["system": []]) }
    }

    func createToken(_ request: Request, _ context: APIContext) async throws -> Response {
        let body = try await context.jsonObject(request, key: "auth")
        let (token, payload) = try await authenticator.authenticate(try AuthRequest(body))
        let hasCatalog = try !request.queryParameters().has("nocatalog")
        return response(token, payload, context, hasCatalog: hasCatalog, status: .created)
    }

    private func showToken(_ request: Request, _ context: APIContext) throws -> Response {
        let (token, payload) = try subject(request, context)
        let hasCatalog = try !request.queryParameters().has("nocatalog")
        return response(token, payload, context, hasCatalog: hasCatalog, status: .ok)
    }

    private func deleteToken(_ request: Request, _ context: APIContext) async throws -> Response {
        let (_, payload) = try subject(request, context)
        guard let id = payload.auditIDs.first else { throw APIFault.notFound("Could not find token.") }
        try await revoke(.token(auditID: id))
        return .empty()
    }

    /// The token that a request is about. It is its owner's business, and that of administrators and services.
    private func subject(_ request: Request, _ context: APIContext) throws -> (String, TokenPayload) {
        let auth = try context.requireAuth()
        guard let token = request.headers[.subjectToken] else {
            throw APIFault.badRequest("The request has no X-Subject-Token header.")
        }
        guard let payload = try authority.read(token) else { throw APIFault.notFound("Could not find token.") }
        guard auth.isAdmin || auth.hasRole("service") || auth.userID == payload.userID else {
            throw APIContext.refusal("validate_token")
        }
        return (token, payload)
    }

    private func response(
        _ token: String, _ payload: TokenPayload, _ context: APIContext, hasCatalog: Bool,
        status: HTTPResponse.Status
    ) -> Response {
        let catalog = hasCatalog ? Catalog(configuration, baseURL: context.baseURL) : nil
        return .json(
            ["token": IdentityView(context).token(payload, catalog: catalog)], status: status,
            headers: [.subjectToken: token, .vary: "X-Auth-Token", .cacheControl: "no-store"])
    }

    /// Projects that the caller can enter.
    func ownProjects(_ request: Request, _ context: APIContext, path: String) async throws -> Response {
        let auth = try context.requireAuth()
        let view = IdentityView(context)
        let projects = try await repository.projects(ofUser: auth.userID).filter(\.isEnabled)
        return view.list("projects", projects.map(view.project), path: path, query: request.uri.query)
    }
}
