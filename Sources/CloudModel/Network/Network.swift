package import FoundationEssentials

/// A layer-2 network of a project, or of all when it is shared.
package struct Network: Sendable, Equatable {
    package static let standardMTU = 1450

    package var id: NetworkID
    package var projectID: ProjectID
    package var name: String
    package var description: String
    package var isShared: Bool
    package var isAdminUp: Bool
    package var mtu: Int
    package var createdAt: Date
    package var updatedAt: Date
    /// Grows by one with every change.
    package var revision: Int
    /// Filled by the store when it reads.
    package var subnetIDs: [SubnetID]

    package init(
        id: NetworkID, projectID: ProjectID, name: String, description: String = "", isShared: Bool = false,
        isAdminUp: Bool = true, mtu: Int = standardMTU, createdAt: Date
    ) {
        self.id = id
        self.projectID = projectID
        self.name = name
        self.description = description
        self.isShared = isShared
        self.isAdminUp = isAdminUp
        self.mtu = mtu
        self.createdAt = createdAt
        self.updatedAt = createdAt
        self.revision = 0
        self.subnetIDs = []
    }
}
