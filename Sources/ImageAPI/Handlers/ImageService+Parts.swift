import CloudModel
import HTTPKit
import Hummingbird
import Primitives

// Tags, members, actions, and what the service says of itself.
extension ImageService {
    func addParts(to routes: RouterGroup<APIContext>) {
        routes.put("images/{image}/tags/{tag}") { _, context in
            let tag = context.parameter("tag")
            _ = try await edit(context) { editor throws(APIFault) in try editor.addTag(tag) }
            return Response.empty()
        }
        routes.delete("images/{image}/tags/{tag}") { _, context in
            let tag = context.parameter("tag")
            _ = try await edit(context) { editor throws(APIFault) in
                guard editor.removeTag(tag) else { throw .notFound("The image has no tag \(tag.prefix(100)).") }
            }
            return Response.empty()
        }
        routes.get("images/{image}/members") { _, context in
            _ = try await visibleImage(context)
            return Response.json(["members": [], "schema": "/v2/schemas/members"])
        }
        for (action, isActive) in [("deactivate", false), ("reactivate", true)] {
            routes.post("images/{image}/actions/\(action)") { _, context in
                guard try context.requireAuth().isAdmin else { throw APIFault.forbidden() }
                let image = try await ownImage(context)
                guard try await repository.setActive(isActive, image.id, now: clock.now()) else {
                    throw APIFault.forbidden("Not allowed to \(action) image in status '\(image.status.rawValue)'.")
                }
                return Response.empty()
            }
        }
        routes.get("info/import") { _, _ in
            Response.json([
                "import-methods": [
                    "description": "Import methods available.", "type": "array", "value": [],
                ]
            ])
        }
        routes.get("metadefs/namespaces") { _, _ in
            Response.json([
                "namespaces": [], "first": "/v2/metadefs/namespaces", "schema": "/v2/schemas/metadefs/namespaces",
            ])
        }
        routes.get("metadefs/resource_types") { _, _ in Response.json(["resource_types": []]) }
    }
}
