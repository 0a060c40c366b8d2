package import CloudModel
package import HTTPKit
import Hummingbird
import ImageInspector
package import Primitives

/// Images v2, as Glance's clients know it.
package struct ImageService: APIService {
    package let name = "image"
    package let path = "/image"
    package let faults: any FaultRenderer = GlanceFaults(Self.fault)

    let configuration: ImageConfiguration
    let repository: any ImageRepository
    let store: ImageStore
    let validator: any TokenValidator
    let tickets: any ImageTicketVerifier
    let ids: any IDSource
    let clock: any WallClock

    package init(
        configuration: ImageConfiguration, repository: any ImageRepository, store: ImageStore,
        validator: any TokenValidator, tickets: any ImageTicketVerifier, ids: any IDSource, clock: any WallClock
    ) {
        self.configuration = configuration
        self.repository = repository
        self.store = store
        self.validator = validator
        self.tickets = tickets
        self.ids = ids
        self.clock = clock
    }

    package func addRoutes(to routes: APIRoutes) {
        addDiscovery(to: routes)
        let hosts = routes.group("v2").add(middleware: TicketOrToken(tickets: tickets, validator: validator))
        hosts.get("images/{image}/file") { request, context in try await download(request, context) }
        let secured = routes.group("v2").add(middleware: Authentication(validator))
        secured.put("images/{image}/file") { request, context in try await upload(request, context) }
        addImages(to: secured)
        addParts(to: secured)
        addSchemas(to: secured)
    }

    /// The one place where the image service's own errors get a status.
    static func fault(for error: any Error) -> APIFault? {
        switch error {
        case ImageStoreError.duplicate: .conflict("Image ID already exists.")
        case ImageStoreError.markerNotFound: .badRequest("Marker image could not be found.")
        case ImageStoreError.invalidText:
            .badRequest("The request has a text with characters that are not accepted.")
        case ImageStoreError.unavailable: .unavailable()
        case let error as ImageStore.Failure where error.isFull:
            APIFault(.contentTooLarge, "There is not enough disk space on the image storage media.")
        case let error as ImageInspectionError: refusal(error)
        default: nil
        }
    }

    private static func refusal(_ error: ImageInspectionError) -> APIFault {
        switch error {
        case .fileSizeOverLimit(_, let limit): .tooLarge(limit: Int(clamping: limit))
        case .empty: .badRequest("The image has no data.")
        default: APIFault(.unsupportedMediaType, "The image was refused: \(error).")
        }
    }
}
