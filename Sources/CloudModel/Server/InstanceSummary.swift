package import FoundationEssentials

/// What the directory keeps of a server: the fields that clients filter and sort by, and no more.
package struct InstanceSummary: Codable, Sendable, Equatable {
    package var id: ServerID
    package var version: Int64
    package var projectID: ProjectID
    package var userID: UserID
    package var name: String
    package var hostname: String
    package var description: String?
    package var state: ServerState
    package var status: String
    package var host: HostName?
    package var flavorID: String
    package var imageID: ImageID?
    package var availabilityZone: String?
    package var keyName: String?
    package var addresses: [String]
    package var tags: [String]
    package var isLocked: Bool
    package var reservationID: String
    package var createdAt: Date
    package var updatedAt: Date
    package var launchedAt: Date?
    package var terminatedAt: Date?
    /// What it takes of its host; nil from a cell whose program does not tell yet.
    package var vcpus: Int?
    package var memoryMiB: Int?

    package init(_ instance: Instance) {
        id = instance.id
        version = instance.version
        projectID = instance.projectID
        userID = instance.userID
        name = instance.name
        hostname = instance.hostname
        description = instance.description
        state = instance.state
        status = instance.state.status
        host = instance.host
        flavorID = instance.flavor.id
        imageID = instance.image?.id
        availabilityZone = instance.availabilityZone
        keyName = instance.keyName
        addresses = instance.interfaces.flatMap { $0.addresses.map(\.address) }
        tags = instance.tags
        isLocked = instance.isLocked
        reservationID = instance.reservationID
        createdAt = instance.createdAt
        updatedAt = instance.updatedAt
        launchedAt = instance.launchedAt
        terminatedAt = instance.terminatedAt
        vcpus = instance.flavor.vcpus
        memoryMiB = instance.flavor.memoryMiB
    }

    package init(
        id: ServerID, version: Int64, projectID: ProjectID, userID: UserID, name: String, hostname: String,
        description: String?, state: ServerState, status: String, host: HostName?, flavorID: String, imageID: ImageID?,
        availabilityZone: String?, keyName: String?, addresses: [String], tags: [String], isLocked: Bool,
        reservationID: String, createdAt: Date, updatedAt: Date, launchedAt: Date?, terminatedAt: Date?,
        vcpus: Int? = nil, memoryMiB: Int? = nil
    ) {
        self.id = id
        self.version = version
        self.projectID = projectID
        self.userID = userID
        self.name = name
        self.hostname = hostname
        self.description = description
        self.state = state
        self.status = status
        self.host = host
        self.flavorID = flavorID
        self.imageID = imageID
        self.availabilityZone = availabilityZone
        self.keyName = keyName
        self.addresses = addresses
        self.tags = tags
        self.isLocked = isLocked
        self.reservationID = reservationID
        self.createdAt = createdAt
        self.updatedAt = updatedAt
        self.launchedAt = launchedAt
        self.terminatedAt = terminatedAt
        self.vcpus = vcpus
        self.memoryMiB = memoryMiB
    }
}
