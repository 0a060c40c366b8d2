package import CellProtocol
package import CloudModel
import FoundationEssentials
import Synchronization

/// Images that tests name, and tickets for them that open nothing.
package final class FixedImages: ImageCatalog, ImageTicketIssuer {
    private struct Entry {
        let image: BootableImage
        /// Nil for images that everybody sees.
        let owner: ProjectID?
    }

    private let entries = Mutex<[ImageID: Entry]>([:])

    package init() {}

    package func add(_ image: BootableImage, owner: ProjectID? = nil) {
        entries.withLock { $0[image.id] = Entry(image: image, owner: owner) }
    }

    package func bootableImage(_ id: ImageID, project: ProjectID, isAdmin: Bool) async throws -> BootableImage? {
        entries.withLock { entries in
            guard let entry = entries[id], isAdmin || entry.owner == nil || entry.owner == project else { return nil }
            return entry.image
        }
    }

    package func ticket(for image: ImageID) async throws -> ImageTicket {
        ImageTicket(imageID: image, token: "ticket", expiresAt: .distantFuture)
    }
}
