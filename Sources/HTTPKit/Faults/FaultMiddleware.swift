import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import Primitives

/// The outermost middleware of each service: whatever is thrown inside leaves as the service's own error body.
struct FaultMiddleware: RouterMiddleware {
    typealias Context = APIContext

    let faults: any FaultRenderer

    func handle(
        _ request: Request, context: APIContext, next: @concurrent (Request, APIContext) async throws -> Response
    ) async throws -> Response {
        do {
            return try await next(request, context)
        } catch {
            return response(to: error, context: context)
        }
    }

    private func response(to error: any Error, context: APIContext) -> Response {
        let fault: APIFault
        if let known = error as? APIFault ?? faults.fault(for: error) ?? Self.common(error, context: context) {
            fault = known
            // What a user can't mend, an operator must be able to find.
            if fault.status.code >= 500, !(error is CancellationError) {
                context.logger.warning("request refused", metadata: ["error": "\(ErrorChain(error))"])
            }
        } else {
            context.logger.error("request failed", metadata: ["error": "\(ErrorChain(error))"])
            fault = .internal()
        }
        var response = faults.render(fault, context: context)
        for field in fault.headers { response.headers.append(field) }
        return response
    }

    /// Errors that every service can meet.
    private static func common(_ error: any Error, context: APIContext) -> APIFault? {
        switch error {
        case let error as HTTPError where error.status == .notFound: .notFound()
        case let error as HTTPError: APIFault(error.status, error.body ?? error.status.reasonPhrase)
        case is NIOTooManyBytesError: .tooLarge(limit: context.bodyLimit)
        case is Bulkhead.Full: .unavailable()
        case is CancellationError: .unavailable()
        case let error as any PassingError where error.isPassing: .unavailable()
        default: nil
        }
    }
}
