package import Hummingbird
import Primitives

/// How a service says no. Each service has one: its table from domain errors to status, and its body.
package protocol FaultRenderer: Sendable {
    /// The one place where a service's domain errors get a status. Nil for errors it does not know: those become 500,
    /// logged with their chain, with nothing of them in the body.
    func fault(for error: any Error) -> APIFault?

    /// The response for `fault`, headers of the fault included by the caller.
    func render(_ fault: APIFault, context: APIContext) -> Response
}

extension FaultRenderer {
    package func fault(for error: any Error) -> APIFault? { nil }
}

/// `{"itemNotFound": {"code": 404, "message": "..."}}`
package struct NovaFaults: FaultRenderer {
    private let table: @Sendable (any Error) -> APIFault?

    package init(_ table: @escaping @Sendable (any Error) -> APIFault? = { _ in nil }) { self.table = table }

    package func fault(for error: any Error) -> APIFault? { table(error) }

    package func render(_ fault: APIFault, context: APIContext) -> Response {
        let body: JSONValue = ["code": .integer(Int64(fault.status.code)), "message": .string(fault.message)]
        return .json(.object([Self.name(fault.status.code): body]), status: fault.status)
    }

    private static func name(_ status: Int) -> String {
        switch status {
        case 400: "badRequest"
        case 401: "unauthorized"
        case 403: "forbidden"
        case 404: "itemNotFound"
        case 405: "badMethod"
        case 409: "conflictingRequest"
        case 413, 429: "overLimit"
        case 415: "badMediaType"
        case 501: "notImplemented"
        case 503: "serviceUnavailable"
        default: "computeFault"
        }
    }
}

/// `{"error": {"code": 404, "message": "...", "title": "Not Found"}}`
package struct KeystoneFaults: FaultRenderer {
    private let table: @Sendable (any Error) -> APIFault?

    package init(_ table: @escaping @Sendable (any Error) -> APIFault? = { _ in nil }) { self.table = table }

    package func fault(for error: any Error) -> APIFault? { table(error) }

    package func render(_ fault: APIFault, context: APIContext) -> Response {
        let body: JSONValue = [
            "code": .integer(Int64(fault.status.code)), "message": .string(fault.message),
            "title": .string(fault.status.reasonPhrase),
        ]
        return .json(["error": body], status: fault.status)
    }
}

/// `{"code": "404 Not Found", "title": "Not Found", "message": "..."}`, as Glance answers clients that accept JSON.
package struct GlanceFaults: FaultRenderer {
    private let table: @Sendable (any Error) -> APIFault?

    package init(_ table: @escaping @Sendable (any Error) -> APIFault? = { _ in nil }) { self.table = table }

    package func fault(for error: any Error) -> APIFault? { table(error) }

    package func render(_ fault: APIFault, context: APIContext) -> Response {
        let title = fault.status.reasonPhrase
        return .json(
            [
                "code": "\(fault.status.code) \(title)", "title": .string(title), "message": .string(fault.message),
            ], status: fault.status)
    }
}

/// `{"NeutronError": {"type": "NetworkNotFound", "message": "...", "detail": ""}}`
package struct NeutronFaults: FaultRenderer {
    private let table: @Sendable (any Error) -> APIFault?

    package init(_ table: @escaping @Sendable (any Error) -> APIFault? = { _ in nil }) { self.table = table }

    package func fault(for error: any Error) -> APIFault? { table(error) }

    package func render(_ fault: APIFault, context: APIContext) -> Response {
        let body: JSONValue = [
            "type": .string(fault.type ?? Self.name(fault.status.code)), "message": .string(fault.message),
            "detail": .string(fault.detail),
        ]
        return .json(["NeutronError": body], status: fault.status)
    }

    private static func name(_ status: Int) -> String {
        switch status {
        case 400: "HTTPBadRequest"
        case 401: "HTTPUnauthorized"
        case 403: "HTTPForbidden"
        case 404: "HTTPNotFound"
        case 405: "HTTPMethodNotAllowed"
        case 409: "HTTPConflict"
        case 413: "HTTPRequestEntityTooLarge"
        case 415: "HTTPUnsupportedMediaType"
        case 501: "NotImplementedError"
        case 503: "HTTPServiceUnavailable"
        default: "HTTPInternalServerError"
        }
    }
}

/// `{"errors": [{"status": 404, "title": "Not Found", "detail": "...", "request_id": "req-..."}]}`, as placement does.
package struct PlacementFaults: FaultRenderer {
    private let table: @Sendable (any Error) -> APIFault?

    package init(_ table: @escaping @Sendable (any Error) -> APIFault? = { _ in nil }) { self.table = table }

    package func fault(for error: any Error) -> APIFault? { table(error) }

    package func render(_ fault: APIFault, context: APIContext) -> Response {
        var error: [String: JSONValue] = [
            "status": .integer(Int64(fault.status.code)), "title": .string(fault.status.reasonPhrase),
            "detail": .string(fault.message), "request_id": .string(context.requestID),
        ]
        if let type = fault.type { error["code"] = .string(type) }
        return .json(["errors": [.object(error)]], status: fault.status)
    }
}
