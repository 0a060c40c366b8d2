package import FoundationEssentials

package enum ImageStatus: String, Sendable, Codable, CaseIterable {
    /// Described, without data.
    case queued
    /// Data is coming in.
    case saving
    case active
    /// Its data may not be read for now.
    case deactivated
}

package enum ImageVisibility: String, Sendable, Codable, CaseIterable {
    case `public`
    case `private`
    /// Its owner's until members are added.
    case shared
    /// For everybody who knows the id.
    case community
}

/// A disk image: what is known of it, not its data.
package struct Image: Sendable, Equatable {
    package var id: ImageID
    package var name: String?
    package var status: ImageStatus
    package var visibility: ImageVisibility
    package var owner: ProjectID?
    package var diskFormat: String?
    package var containerFormat: String?
    package var minimumDiskGiB: Int
    package var minimumMemoryMiB: Int
    package var isProtected: Bool
    /// Left out of lists.
    package var isHidden: Bool
    /// Sorted, each once.
    package var tags: [String]
    /// What clients set beyond the fields that are named here.
    package var properties: [String: String]
    package var createdAt: Date
    package var updatedAt: Date
    /// What was found when the data came in; nil before.
    package var content: ImageContent?
    /// Grows by one with every change; a change names the version it was made from.
    package var version: Int64

    package init(
        id: ImageID, name: String? = nil, status: ImageStatus = .queued, visibility: ImageVisibility = .shared,
        owner: ProjectID?, diskFormat: String? = nil, containerFormat: String? = nil, minimumDiskGiB: Int = 0,
        minimumMemoryMiB: Int = 0, isProtected: Bool = false, isHidden: Bool = false, tags: [String] = [],
        properties: [String: String] = [:], createdAt: Date, updatedAt: Date, content: ImageContent? = nil,
        version: Int64 = 1
    ) {
        self.id = id
        self.name = name
        self.status = status
        self.visibility = visibility
        self.owner = owner
        self.diskFormat = diskFormat
        self.containerFormat = containerFormat
        self.minimumDiskGiB = minimumDiskGiB
        self.minimumMemoryMiB = minimumMemoryMiB
        self.isProtected = isProtected
        self.isHidden = isHidden
        self.tags = tags
        self.properties = properties
        self.createdAt = createdAt
        self.updatedAt = updatedAt
        self.content = content
        self.version = version
    }
}

/// Facts of an image's data, true as long as the image lives: data never changes.
package struct ImageContent: Codable, Sendable, Equatable {
    package var sizeBytes: Int64
    /// Of the disk that a guest sees.
    package var virtualSizeBytes: Int64
    /// Hexadecimal.
    package var md5: String
    /// Hexadecimal.
    package var sha512: String
    /// Names the data in the image store.
    package var file: String

    package init(sizeBytes: Int64, virtualSizeBytes: Int64, md5: String, sha512: String, file: String) {
        self.sizeBytes = sizeBytes
        self.virtualSizeBytes = virtualSizeBytes
        self.md5 = md5
        self.sha512 = sha512
        self.file = file
    }
}
