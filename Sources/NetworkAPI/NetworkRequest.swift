import CloudModel
import HTTPKit
import Hummingbird
import Primitives

/// A request on its way through a handler.
struct NetworkRequest: Sendable {
    let request: Request
    let context: APIContext
    let auth: AuthContext
    let project: ProjectID
    let query: QueryParameters

    init(_ request: Request, _ context: APIContext) throws(APIFault) {
        self.request = request
        self.context = context
        auth = try context.requireAuth()
        project = try auth.requireProject().id
        query = try request.queryParameters()
    }

    var isAdmin: Bool { auth.isAdmin }
    /// The path parameter `{id}`.
    var id: String { context.parameter("id") }
    /// Whose things the caller sees: everybody's, for administrators.
    var scope: ProjectID? { isAdmin ? nil : project }

    /// The member `key` of the body, which must be an object with nothing beside it.
    func body(_ key: String) async throws -> JSONObjectReader { try await context.jsonObject(request, key: key) }

    /// For whom something is made: the caller's project, or another that an administrator names.
    func owner(_ body: inout JSONObjectReader) throws(APIFault) -> ProjectID {
        let tenant = try body.string("tenant_id", length: 0...255)
        let named = try body.string("project_id", length: 0...255) ?? tenant
        guard let named, !named.isEmpty, named != project.text else { return project }
        guard isAdmin else {
            throw .forbidden(
                "Specifying 'project_id' or 'tenant_id' other than the authenticated project is not allowed.")
        }
        return ProjectID(named)
    }

    /// - Throws: a 403 unless the caller may change what `owner` owns.
    func mayChange(_ owner: ProjectID) throws(APIFault) {
        guard isAdmin || owner == project else { throw forbidden() }
    }

    func forbidden() -> APIFault {
        .forbidden("The action is disallowed by policy.", type: "PolicyNotAuthorized")
    }
}

extension JSONObjectReader {
    /// `true`, `false`, 0, 1 or text that means one of them, as Neutron converts.
    mutating func looseBool(_ key: String) throws(APIFault) -> Bool? {
        guard let value = value(key) else { return nil }
        switch value {
        case .bool(let flag): return flag
        case .integer(0): return false
        case .integer(1): return true
        case .string(let text):
            guard let flag = QueryParameters.bool(text) else { break }
            return flag
        case .null, .integer, .number, .array, .object: break
        }
        throw .badRequest(
            "Invalid input for \(key). Reason: it cannot be converted to boolean.", type: "HTTPBadRequest")
    }

    /// Takes members that may be sent and must say nothing: null, false, or empty.
    mutating func takeEmpty(_ keys: [String]) throws(APIFault) {
        for key in keys {
            switch value(key) {
            case nil, .null?, .bool(false)?, .array([])?, .object([:])?, .string("")?: continue
            case .bool?, .integer?, .number?, .string?, .array?, .object?:
                throw .badRequest("Invalid input for \(key). Reason: it is not supported here.")
            }
        }
    }
}
