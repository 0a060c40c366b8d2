import HTTPKit
import HTTPTypes
import Hummingbird
import Primitives

/// `GET /compute` and `GET /compute/v2.1`: what clients negotiate from. No token is needed.
enum VersionDocuments {
    static func addRoutes(to routes: APIRoutes) {
        routes.get("") { _, context in
            Response.json(["versions": [summary(context)]])
        }
        routes.get("v2.1") { _, context in show(context) }
        for path in ["v2.1/versions/{id}", "v2.1/{project}/versions/{id}"] {
            routes.get(RouterPath(path)) { _, context in
                guard ["v2.1", "2.1"].contains(context.parameter("id")) else { throw APIFault.notFound() }
                return show(context)
            }
        }
    }

    private static func show(_ context: APIContext) -> Response {
        guard case .object(var document) = summary(context) else { return .empty(.internalServerError) }
        document["media-types"] = [
            ["base": "application/json", "type": "application/vnd.openstack.compute+json;version=2.1"]
        ]
        return .json(["version": .object(document)])
    }

    private static func summary(_ context: APIContext) -> JSONValue {
        [
            "id": "v2.1", "status": "CURRENT", "version": "2.\(Microversion.maximum)",
            "min_version": "2.\(Microversion.minimum)", "updated": "2013-07-23T11:33:21Z",
            "links": [["rel": "self", "href": "\(context.serviceURL)/v2.1/"]],
        ]
    }
}
