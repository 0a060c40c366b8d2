import HTTPKit
import HTTPTypes
import Hummingbird

/// One line of the route table: what is asked, who may, who answers.
struct NetworkRoute: Sendable {
    enum Role: Sendable { case reader, member, admin }

    typealias Handler = @Sendable (NetworkRequest) async throws -> Response

    let method: HTTPRequest.Method
    /// Below `/network/v2.0`.
    let path: String
    let role: Role
    let handler: Handler

    init(_ method: HTTPRequest.Method, _ path: String, _ role: Role, _ handler: @escaping Handler) {
        self.method = method
        self.path = path
        self.role = role
        self.handler = handler
    }

    func authorize(_ request: NetworkRequest) throws(APIFault) {
        let isAllowed =
            switch role {
            case .reader: request.isAdmin || request.auth.hasRole("reader")
            case .member: request.isAdmin || request.auth.hasRole("member")
            case .admin: request.isAdmin
            }
        guard isAllowed else { throw request.forbidden() }
    }
}

/// Routes of one part of the API.
protocol NetworkEndpointGroup: Sendable {
    var routes: [NetworkRoute] { get }
}
