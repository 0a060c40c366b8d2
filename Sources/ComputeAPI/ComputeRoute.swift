import HTTPKit
import HTTPTypes
import Hummingbird

/// One line of the route table: what is asked, from which microversion to which, who may, and who answers.
struct ComputeRoute: Sendable {
    /// Who may: administrators always.
    enum Role: Sendable {
        /// Any valid token.
        case any
        case reader, member, admin
    }

    typealias Handler = @Sendable (ComputeRequest) async throws -> Response

    let method: HTTPRequest.Method
    /// Below `/compute/v2.1` and below `/compute/v2.1/{project}`.
    let path: String
    let versions: ClosedRange<Int>
    let role: Role
    let handler: Handler

    init(
        _ method: HTTPRequest.Method, _ path: String, _ role: Role, versions: ClosedRange<Int> = Microversion.all,
        _ handler: @escaping Handler
    ) {
        self.method = method
        self.path = path
        self.role = role
        self.versions = versions
        self.handler = handler
    }

    /// - Throws: a 403 in Nova's words.
    func authorize(_ request: ComputeRequest) throws(APIFault) {
        let isAllowed =
            switch role {
            case .any: true
            case .reader: request.isAdmin || request.auth.hasRole("reader")
            case .member: request.isAdmin || request.auth.hasRole("member")
            case .admin: request.isAdmin
            }
        guard isAllowed else { throw request.forbidden() }
    }
}

/// Routes of one part of the API.
protocol ComputeEndpoints: Sendable {
    var routes: [ComputeRoute] { get }
}
