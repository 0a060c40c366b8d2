import CloudModel
import HTTPKit
import HTTPTypes
import Hummingbird
import Primitives

/// Lets through whoever has a ticket for the image in the path, and otherwise whoever has a token.
struct TicketOrToken: RouterMiddleware {
    typealias Context = APIContext

    let tickets: any ImageTicketVerifier
    let validator: any TokenValidator

    func handle(
        _ request: Request, context: APIContext, next: @concurrent (Request, APIContext) async throws -> Response
    ) async throws -> Response {
        guard let ticket = request.headers[.imageTicket] else {
            return try await Authentication(validator).handle(request, context: context, next: next)
        }
        guard let image = ImageID(context.parameter("image")), tickets.isValid(ticket, for: image) else {
            throw APIFault.unauthorized("The image ticket is not valid for this image.")
        }
        return try await next(request, context)
    }
}
