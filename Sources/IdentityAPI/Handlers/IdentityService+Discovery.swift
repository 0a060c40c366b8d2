import HTTPKit
import Hummingbird
import Primitives

extension IdentityService {
    func addDiscovery(to routes: APIRoutes) {
        routes.get { _, context in
            Response.json(["versions": ["values": [Self.version(context)]]], status: .multipleChoices)
        }
        routes.get("v3") { _, context in Response.json(["version": Self.version(context)]) }
    }

    private static func version(_ context: APIContext) -> JSONValue {
        [
            "id": "v3.14", "status": "stable", "updated": "2020-04-07T00:00:00Z",
            "links": [["rel": "self", "href": "\(context.serviceURL)/v3/"]],
            "media-types": [
                ["base": "application/json", "type": "application/vnd.openstack.identity-v3+json"]
            ],
        ]
    }
}
