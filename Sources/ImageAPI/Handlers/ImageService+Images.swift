import CloudModel
import FoundationEssentials
import HTTPKit
import HTTPTypes
import Hummingbird
import Logging
import Primitives

extension ImageService {
    /// A change is made from what was read; when somebody else was first it is made again, this often.
    private static let attempts = 3

    func addImages(to routes: RouterGroup<APIContext>) {
        routes.get("images") { request, context in try await list(request, context) }
        routes.post("images") { request, context in try await create(request, context) }
        routes.get("images/{image}") { _, context in
            Response.json(try await visibleImage(context).view)
        }
        routes.patch("images/{image}") { request, context in
            let body = try await context.json(request, mediaTypes: [ImagePatch.mediaType])
            let patch = try ImagePatch(body)
            let image = try await edit(context) { editor throws(APIFault) in try patch.apply(to: &editor) }
            return Response.json(image.view)
        }
        routes.delete("images/{image}") { _, context in try await delete(context) }
    }

    // MARK: which image

    /// The image in the path, if the caller may see it: otherwise it might as well not be there.
    func visibleImage(_ context: APIContext) async throws -> Image {
        let auth = try context.requireAuth()
        let text = context.parameter("image")
        guard let id = ImageID(text), let image = try await repository.image(id),
            image.isVisible(to: auth.projectID, isAdmin: auth.isAdmin)
        else { throw Self.noImage(text) }
        return image
    }

    /// The image in the path, if the caller may change it.
    func ownImage(_ context: APIContext) async throws -> Image {
        let image = try await visibleImage(context)
        let auth = try context.requireAuth()
        guard auth.isAdmin || (image.owner != nil && image.owner == auth.projectID) else {
            throw APIFault.forbidden("You are not permitted to modify this image.")
        }
        guard auth.isAdmin || auth.hasRole("member") else { throw APIFault.forbidden() }
        return image
    }

    static func noImage(_ id: String) -> APIFault { .notFound("No image found with ID \(id.prefix(100)).") }

    /// Changes what may be changed, from what is stored now.
    func edit(_ context: APIContext, _ change: (inout ImageEditor) throws(APIFault) -> Void) async throws -> Image {
        let isAdmin = try context.requireAuth().isAdmin
        for _ in 0..<Self.attempts {
            let stored = try await ownImage(context)
            var editor = ImageEditor(stored, isAdmin: isAdmin)
            try change(&editor)
            guard editor.image != stored else { return stored }
            var image = editor.image
            image.updatedAt = clock.now()
            if try await repository.update(image) {
                image.version += 1
                return image
            }
        }
        throw APIFault.conflict("The image was changed by somebody else meanwhile: please try again.")
    }

    // MARK: handlers

    private func list(_ request: Request, _ context: APIContext) async throws -> Response {
        let parameters = try request.queryParameters()
        let query = try ImageListRequest(parameters, auth: try context.requireAuth()).query
        let images = try await repository.images(query)
        let own = parameters.replacing([("marker", nil)]).encoded
        var body: [String: JSONValue] = [
            "images": .array(images.map(\.view)), "schema": "/v2/schemas/images",
            "first": .string("/v2/images" + (own.isEmpty ? "" : "?\(own)")),
        ]
        if let last = images.last, images.count == query.limit {
            body["next"] = .string(
                PageRequest.nextLink(base: "/v2/images", query: parameters, lastID: last.id.description))
        }
        return .json(.object(body))
    }

    private func create(_ request: Request, _ context: APIContext) async throws -> Response {
        let auth = try context.requireAuth()
        guard auth.isAdmin || auth.hasRole("member") else { throw APIFault.forbidden() }
        var body = try await context.jsonObject(request)
        let now = clock.now()
        let image = Image(id: ids.next(), owner: auth.projectID, createdAt: now, updatedAt: now)
        var editor = ImageEditor(image, isAdmin: auth.isAdmin, isNew: true)
        for key in body.remainingKeys { try editor.set(key, try body.requiredValue(key)) }
        try await repository.insert(editor.image)
        return .json(
            editor.image.view, status: .created,
            headers: [.location: "\(context.serviceURL)/v2/images/\(editor.image.id)"])
    }

    private func delete(_ context: APIContext) async throws -> Response {
        let image = try await ownImage(context)
        guard !image.isProtected else {
            throw APIFault.forbidden("Image \(image.id) is protected and cannot be deleted.")
        }
        guard let deleted = try await repository.delete(image.id) else {
            throw Self.noImage(image.id.description)
        }
        // Whoever is reading the file goes on reading it. A file that can't be removed is left to the janitor.
        if let file = deleted.content?.file {
            do {
                try await store.remove(file)
            } catch {
                context.logger.warning("can't remove an image's file", metadata: ["error": "\(ErrorChain(error))"])
            }
        }
        return .empty()
    }
}
