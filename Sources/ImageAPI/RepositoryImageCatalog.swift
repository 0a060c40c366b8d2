package import CloudModel

/// Images as compute sees them, from the image service's own catalog.
package struct RepositoryImageCatalog: ImageCatalog {
    private let repository: any ImageRepository

    package init(_ repository: any ImageRepository) { self.repository = repository }

    package func bootableImage(_ id: ImageID, project: ProjectID, isAdmin: Bool) async throws -> BootableImage? {
        guard let image = try await repository.image(id), image.isVisible(to: project, isAdmin: isAdmin) else {
            return nil
        }
        return BootableImage(
            id: image.id, name: image.name ?? "", status: image.status.rawValue,
            minimumDiskGiB: image.minimumDiskGiB, minimumMemoryMiB: image.minimumMemoryMiB,
            sizeBytes: image.content?.sizeBytes ?? 0, virtualSizeBytes: image.content?.virtualSizeBytes,
            sha512: image.content?.sha512 ?? "", diskFormat: image.diskFormat ?? "", properties: image.properties)
    }
}

extension Image {
    /// Public and community images are everybody's to see, others their project's and administrators'.
    func isVisible(to project: ProjectID?, isAdmin: Bool) -> Bool {
        switch visibility {
        case .public, .community: true
        case .private, .shared: isAdmin || (owner != nil && owner == project)
        }
    }
}
