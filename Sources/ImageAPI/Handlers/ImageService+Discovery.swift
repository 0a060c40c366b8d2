import HTTPKit
import Hummingbird
import Primitives

extension ImageService {
    private static let newestMinor = 16

    func addDiscovery(to routes: APIRoutes) {
        routes.get { _, context in Self.versions(context, .multipleChoices) }
        routes.get("versions") { _, context in Self.versions(context, .ok) }
    }

    private static func versions(_ context: APIContext, _ status: HTTPResponse.Status) -> Response {
        let versions = (0...newestMinor).reversed().map { minor -> JSONValue in
            [
                "id": "v2.\(minor)", "status": minor == newestMinor ? "CURRENT" : "SUPPORTED",
                "links": [["rel": "self", "href": "\(context.serviceURL)/v2/"]],
            ]
        }
        return .json(["versions": .array(versions)], status: status)
    }
}
