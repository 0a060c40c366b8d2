package import HTTPTypes

/// An answer that says no: thrown by handlers, rendered in the service's own shape by its ``FaultRenderer``.
package struct APIFault: Error, Sendable, Equatable, CustomStringConvertible {
    package var status: HTTPResponse.Status
    /// Safe for users: no cause's text, no name of ours.
    package var message: String
    /// A stable name: Neutron's `type` (`NetworkNotFound`), placement's `code`. Nil for the status' usual one.
    package var type: String?
    /// Neutron's `detail`.
    package var detail: String
    package var headers: HTTPFields

    package init(
        _ status: HTTPResponse.Status, _ message: String, type: String? = nil, detail: String = "",
        headers: HTTPFields = [:]
    ) {
        self.status = status
        self.message = message
        self.type = type
        self.detail = detail
        self.headers = headers
    }

    package var description: String { "\(status.code) \(type.map { "\($0): " } ?? "")\(message)" }

    package static func badRequest(_ message: String, type: String? = nil) -> APIFault {
        APIFault(.badRequest, message, type: type)
    }
    package static func unauthorized(_ message: String = "The request you have made requires authentication.")
        -> APIFault
    { APIFault(.unauthorized, message) }
    package static func forbidden(
        _ message: String = "You are not authorized to perform the requested action.", type: String? = nil
    ) -> APIFault { APIFault(.forbidden, message, type: type) }
    package static func notFound(
        _ message: String = "The resource could not be found.", type: String? = nil
    ) -> APIFault { APIFault(.notFound, message, type: type) }
    package static func conflict(_ message: String, type: String? = nil) -> APIFault {
        APIFault(.conflict, message, type: type)
    }
    package static func methodNotAllowed(_ allowed: [HTTPRequest.Method]) -> APIFault {
        let names = allowed.map(\.rawValue).sorted().joined(separator: ", ")
        return APIFault(
            .methodNotAllowed, "The method is not allowed for this resource.", headers: [.allow: names])
    }
    package static func tooLarge(limit: Int) -> APIFault {
        APIFault(.contentTooLarge, "Request is too large: the limit is \(limit) bytes.")
    }
    package static func unsupportedMediaType(_ type: String) -> APIFault {
        APIFault(.unsupportedMediaType, "Unsupported Content-Type: \(type.prefix(100))")
    }
    /// - Parameter seconds: when a client should come again (`Retry-After`).
    package static func unavailable(
        _ message: String = "The service is unavailable: please try again later.", after seconds: Int = 2
    ) -> APIFault {
        APIFault(.serviceUnavailable, message, headers: [.retryAfter: String(seconds)])
    }
    package static func `internal`() -> APIFault {
        APIFault(.internalServerError, "Unexpected API Error. The request id names it in the service's log.")
    }
}
