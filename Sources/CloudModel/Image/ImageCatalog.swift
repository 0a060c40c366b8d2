/// What compute asks of images: one image, as its caller may see it.
package protocol ImageCatalog: Sendable {
    /// Nil when there is none or the caller may not see it.
    func bootableImage(_ id: ImageID, project: ProjectID, isAdmin: Bool) async throws -> BootableImage?
}

/// An image as far as a new server is concerned.
package struct BootableImage: Sendable, Equatable {
    package var id: ImageID
    package var name: String
    /// Glance's: only `active` can boot.
    package var status: String
    package var minimumDiskGiB: Int
    package var minimumMemoryMiB: Int
    /// Bytes of the stored file, and of the disk inside it when known.
    package var sizeBytes: Int64
    package var virtualSizeBytes: Int64?
    /// Hexadecimal.
    package var sha512: String
    package var diskFormat: String
    package var properties: [String: String]

    package init(
        id: ImageID, name: String, status: String, minimumDiskGiB: Int = 0, minimumMemoryMiB: Int = 0,
        sizeBytes: Int64, virtualSizeBytes: Int64? = nil, sha512: String, diskFormat: String,
        properties: [String: String] = [:]
    ) {
        self.id = id
        self.name = name
        self.status = status
        self.minimumDiskGiB = minimumDiskGiB
        self.minimumMemoryMiB = minimumMemoryMiB
        self.sizeBytes = sizeBytes
        self.virtualSizeBytes = virtualSizeBytes
        self.sha512 = sha512
        self.diskFormat = diskFormat
        self.properties = properties
    }
}
