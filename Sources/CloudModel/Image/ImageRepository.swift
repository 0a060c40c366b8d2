package import FoundationEssentials

// The port to what is known of images. Adapters: `PostgresImageRepository`, and an in-memory stand-in for tests; one
// contract suite. An upload holds a lease on its image: whoever dies in the middle loses it, and the image is queued again.

/// Why the image catalog's storage said no.
package enum ImageStoreError: Error, Sendable, Equatable, CustomStringConvertible {
    case duplicate
    case markerNotFound
    /// A text that can't be stored, such as one with a NUL character.
    case invalidText
    /// The storage can't answer just now; the text is for the log.
    case unavailable(String)

    package var description: String {
        switch self {
        case .duplicate: "there is an image with this id"
        case .markerNotFound: "there is no image with the marker's id"
        case .invalidText: "a text can't be stored"
        case .unavailable(let reason): "the image catalog is unavailable: \(reason)"
        }
    }
}

/// An upload in progress.
package struct ImageUpload: Sendable, Equatable {
    package var imageID: ImageID
    /// Names this attempt.
    package var uploadID: UUID
    package init(imageID: ImageID, uploadID: UUID) {
        self.imageID = imageID
        self.uploadID = uploadID
    }
}

package protocol ImageRepository: Sendable {
    func image(_ id: ImageID) async throws(ImageStoreError) -> Image?
    /// In the query's order, at most its limit.
    /// - Throws: ``ImageStoreError/markerNotFound``.
    func images(_ query: ImageQuery) async throws(ImageStoreError) -> [Image]
    func insert(_ image: Image) async throws(ImageStoreError)
    /// Stores everything but status and content, if the stored version is still `image.version`; the version grows.
    /// False when somebody else was first, or the image is gone.
    func update(_ image: Image) async throws(ImageStoreError) -> Bool
    /// Between active and deactivated. False when the image is in neither.
    func setActive(_ isActive: Bool, _ id: ImageID, now: Date) async throws(ImageStoreError) -> Bool
    /// The deleted image, nil when there was none.
    func delete(_ id: ImageID) async throws(ImageStoreError) -> Image?

    /// From queued to saving, until `leaseUntil`. False when the image is in another status or another upload has it.
    func begin(_ upload: ImageUpload, now: Date, leaseUntil: Date) async throws(ImageStoreError) -> Bool
    /// False when the lease was lost.
    func renew(_ upload: ImageUpload, leaseUntil: Date) async throws(ImageStoreError) -> Bool
    /// From saving to active. False when the lease was lost or the image is gone.
    func finish(_ upload: ImageUpload, content: ImageContent, now: Date) async throws(ImageStoreError) -> Bool
    /// From saving back to queued.
    func abort(_ upload: ImageUpload, now: Date) async throws(ImageStoreError)
    /// Puts back what was left in saving by those who died; how many.
    func abortExpired(now: Date) async throws(ImageStoreError) -> Int
    /// Which of these files of the image store belong to an image.
    func known(files: [String]) async throws(ImageStoreError) -> Set<String>
}
