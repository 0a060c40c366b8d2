import CellProtocol
import CloudModel
import FoundationEssentials
import HTTPKit
import Hummingbird
import MessageBus
import Primitives
import ServerViews

/// A request on its way through a handler: who asks, at which microversion, for what.
struct ComputeRequest: Sendable {
    /// Rows of one page, at most.
    static let pageLimit = 1000

    let request: Request
    let context: APIContext
    let auth: AuthContext
    let project: ProjectID
    /// The minor of 2.N.
    let version: Int
    let query: QueryParameters
    /// For links: with the project's id when the request had it in its path.
    let computeURL: String

    var isAdmin: Bool { auth.isAdmin }
    var userID: UserID { auth.userID }
    var requestID: String { context.requestID }

    /// The key under which a cell remembers `action`: a repeat of the same request by the same user, and nothing else, is
    /// answered as the first was. `nil` when nobody gave the request a key.
    func idempotencyKey(of action: ServerAction) -> String? {
        context.idempotencyKey.map { "\(userID):\(action.name):\($0)" }
    }

    /// An id that is the same in every repeat of this request by the same user in the same project. `nil` when nobody gave
    /// the request a key.
    func repeatableID<Subject>(_ purpose: String) -> Identifier<Subject>? {
        context.idempotencyKey.map { Identifier(NamedID.make("\(project) \(userID) \(purpose) \($0)")) }
    }

    var links: ResourceLinks { ResourceLinks(computeURL: computeURL) }

    var caller: Caller {
        Caller(userID: auth.userID.text, projectID: project.text, roles: auth.roleNames)
    }

    /// The path parameter `{id}`.
    var id: String { context.parameter("id") }
    /// The path parameter `{sub}`.
    var sub: String { context.parameter("sub") }

    /// - Parameter group: of the one server that is shown.
    func view(_ detail: ServerViewContext.Detail, group: ServerGroupID? = nil) -> ServerViewContext {
        ServerViewContext(
            detail: detail, microversion: version, computeURL: computeURL, isAdmin: isAdmin, serverGroup: group)
    }

    /// The body, which must be an object.
    func body() async throws -> JSONObjectReader { try await context.jsonObject(request) }

    /// The member `key` of the body, which must be an object with nothing beside it.
    func body(_ key: String) async throws -> JSONObjectReader { try await context.jsonObject(request, key: key) }

    /// Refuses query parameters that the operation does not have, from the microversion on that does so.
    func checkQuery(_ allowed: [String], strictFrom minor: Int) throws(APIFault) {
        guard version >= minor else { return }
        for item in query.items where !allowed.contains(item.name) {
            throw .badRequest(
                "Invalid input for query parameters: additional properties are not allowed ('\(item.name.prefix(100))' "
                    + "was unexpected)")
        }
    }

    func page() throws(APIFault) -> PageRequest { try PageRequest(query, maximum: Self.pageLimit) }

    /// The URL of the page behind the one that ends with `lastID`.
    func nextLink(_ path: String, lastID: String) -> String {
        PageRequest.nextLink(base: "\(computeURL)/\(path)", query: query, lastID: lastID)
    }

    func forbidden() -> APIFault { Self.forbidden() }
    static func forbidden() -> APIFault { .forbidden("Policy doesn't allow this action to be performed.") }
}
