package import FoundationEssentials

/// Servers of a project that are to be kept together or apart. A server joins when it is created, and leaves when it is
/// gone; of no matter which cell.
package struct ServerGroup: Sendable, Equatable {
    package enum Policy: String, Sendable, CaseIterable {
        /// All on one host.
        case affinity
        /// On a host no more of them than ``ServerGroup/serversPerHost``.
        case antiAffinity = "anti-affinity"
        /// Together as far as there is room.
        case softAffinity = "soft-affinity"
        /// Apart as far as there are hosts.
        case softAntiAffinity = "soft-anti-affinity"
    }

    package var id: ServerGroupID
    package var projectID: ProjectID
    package var userID: UserID
    package var name: String
    package var policy: Policy
    /// Of anti-affinity: 1 when nil.
    package var serversPerHost: Int?
    package var createdAt: Date
    /// In no order that means anything.
    package var members: [ServerID]

    package init(
        id: ServerGroupID, projectID: ProjectID, userID: UserID, name: String, policy: Policy,
        serversPerHost: Int? = nil, createdAt: Date, members: [ServerID] = []
    ) {
        self.id = id
        self.projectID = projectID
        self.userID = userID
        self.name = name
        self.policy = policy
        self.serversPerHost = serversPerHost
        self.createdAt = createdAt
        self.members = members
    }
}

/// A server can't be created in a group that is not its project's.
package struct ServerGroupNotFound: Error, Sendable, Equatable {
    package let id: ServerGroupID
    package init(_ id: ServerGroupID) { self.id = id }
}

/// Server groups, kept at the root. Servers join them with ``NewServers/group``.
package protocol ServerGroupStore: Sendable {
    /// In order of their creation; of all projects when `project` is nil.
    func groups(of project: ProjectID?, offset: Int, limit: Int) async throws -> [ServerGroup]
    func group(_ id: ServerGroupID) async throws -> ServerGroup?
    /// - Parameters:
    ///   - limit: groups that the project may have; -1 for no bound.
    ///   - userLimit: groups that their user may have in the project, where an administrator set one.
    /// - Throws: ``QuotaExceeded``, also under concurrent requests.
    func insert(_ group: ServerGroup, limit: Int, userLimit: Int?) async throws
    /// Its servers stay, without a group. Whether there was one.
    func deleteGroup(_ id: ServerGroupID) async throws -> Bool
    /// Groups of a project, or of one user in it.
    func groupCount(of project: ProjectID, user: UserID?) async throws -> Int
}
