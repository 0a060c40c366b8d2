package import FoundationEssentials

/// Reads the root's directory of servers. Adapter: `Persistence`; its transactions are reads only.
package protocol DirectoryStore: Sendable {
    /// One page by keyset, and whether all was there to choose from.
    /// - Throws: ``DirectoryError`` when the marker or a pattern is wrong.
    func list(_ query: DirectoryQuery) async throws -> DirectoryPage

    /// One server, deleted ones left out.
    /// - Throws: ``DirectoryError/incomplete`` when it may be one of those that the directory has lost.
    func find(_ id: ServerID) async throws -> DirectoryRow?

    /// What counts against the project's quota, or one user's in it.
    func usage(of project: ProjectID, user: UserID?) async throws -> ComputeUsage
}

extension DirectoryStore {
    /// One page by keyset, for those who can do without what may be missing.
    package func page(_ query: DirectoryQuery) async throws -> [DirectoryRow] { try await list(query).rows }

    package func usage(of project: ProjectID) async throws -> ComputeUsage {
        try await usage(of: project, user: nil)
    }
}

/// The hosts of all cells, as their cells' events tell the root, with what placement has promised of each.
package protocol HostDirectory: Sendable {
    /// With the operator's word and the zone that aggregates say already in each record.
    func hosts() async throws -> [HostUsage]

    /// Says what a host gets from now on. When it returns, no server that is placed later lands there.
    /// - Returns: the host as it is then; nil when there is none.
    func order(_ order: PlacementOrder, of host: HostName) async throws -> HostUsage?
}

package struct HostUsage: Sendable, Equatable {
    package var record: HostRecord
    package var vcpusUsed: Int
    package var memoryMiBUsed: Int
    package var diskGiBUsed: Int
    package var servers: Int
    package var order: PlacementOrder

    /// - Parameter order: as the record says, unless given.
    package init(
        record: HostRecord, vcpusUsed: Int = 0, memoryMiBUsed: Int = 0, diskGiBUsed: Int = 0, servers: Int = 0,
        order: PlacementOrder? = nil
    ) {
        self.record = record
        self.vcpusUsed = vcpusUsed
        self.memoryMiBUsed = memoryMiBUsed
        self.diskGiBUsed = diskGiBUsed
        self.servers = servers
        self.order =
            order
            ?? PlacementOrder(
                record.isEnabled ? .enabled : .disabled, reason: record.disabledReason, since: record.updatedAt)
    }
}

/// Limits of a project; -1 for none.
package struct ComputeQuota: Codable, Sendable, Equatable {
    package var instances: Int
    package var cores: Int
    package var memoryMiB: Int
    package var keyPairs: Int
    package var metadataItems: Int
    package var serverGroups: Int
    package var serverGroupMembers: Int
    /// By Nova's names, what limits nothing any more and older clients still set and read; none for what is not there.
    package var retired: [String: Int] = [:]

    package static let standard = ComputeQuota(
        instances: 10, cores: 20, memoryMiB: 51_200, keyPairs: 100, metadataItems: 128, serverGroups: 10,
        serverGroupMembers: 10)

    package init(
        instances: Int, cores: Int, memoryMiB: Int, keyPairs: Int, metadataItems: Int, serverGroups: Int,
        serverGroupMembers: Int
    ) {
        self.instances = instances
        self.cores = cores
        self.memoryMiB = memoryMiB
        self.keyPairs = keyPairs
        self.metadataItems = metadataItems
        self.serverGroups = serverGroups
        self.serverGroupMembers = serverGroupMembers
    }

    /// - Throws: ``QuotaExceeded`` for the first of instances, cores, memory that `added` would take past its limit.
    package func check(used: ComputeUsage, added: ComputeUsage) throws(QuotaExceeded) {
        let parts = [
            ("instances", used.instances, added.instances, instances),
            ("cores", used.cores, added.cores, cores),
            ("ram", used.memoryMiB, added.memoryMiB, memoryMiB),
        ]
        for (resource, used, added, limit) in parts where limit >= 0 && used + added > limit {
            throw QuotaExceeded(resource: resource, requested: added, used: used, limit: limit)
        }
    }
}

/// A request would take a project past its limit.
package struct QuotaExceeded: Error, Sendable, Equatable {
    /// As Nova or Neutron name it: `instances`, `cores`, `ram`, `key_pairs`, `port`, ...
    package var resource: String
    package var requested: Int
    package var used: Int
    package var limit: Int

    package init(resource: String, requested: Int, used: Int, limit: Int) {
        self.resource = resource
        self.requested = requested
        self.used = used
        self.limit = limit
    }
}

/// Some of the limits: what was set of them.
package struct QuotaLimits: Codable, Sendable, Equatable {
    package var instances: Int?
    package var cores: Int?
    package var memoryMiB: Int?
    package var keyPairs: Int?
    package var metadataItems: Int?
    package var serverGroups: Int?
    package var serverGroupMembers: Int?
    package var retired: [String: Int]?

    package init() {}

    /// `base` with what is set here.
    package func over(_ base: ComputeQuota) -> ComputeQuota {
        var quota = ComputeQuota(
            instances: instances ?? base.instances, cores: cores ?? base.cores, memoryMiB: memoryMiB ?? base.memoryMiB,
            keyPairs: keyPairs ?? base.keyPairs, metadataItems: metadataItems ?? base.metadataItems,
            serverGroups: serverGroups ?? base.serverGroups,
            serverGroupMembers: serverGroupMembers ?? base.serverGroupMembers)
        quota.retired = base.retired.merging(retired ?? [:]) { _, new in new }
        return quota
    }
}

/// Limits that administrators set. What a project, or a user in it, may have is what was set for it, else what the class
/// `default` says, else ``ComputeQuota/standard``.
package protocol ComputeQuotaStore: Sendable {
    func quota(of project: ProjectID) async throws -> ComputeQuota
    /// Nil for a user for whom nothing was set in this project.
    func quota(of project: ProjectID, user: UserID) async throws -> ComputeQuota?
    /// Changes what is set in `limits` and leaves the rest; of the project, or of one user in it.
    func set(_ limits: QuotaLimits, of project: ProjectID, user: UserID?) async throws
    /// Back to the defaults: the project with all its users, or one user in it.
    func reset(_ project: ProjectID, user: UserID?) async throws
    /// Of projects for which nothing was set.
    func defaults() async throws -> ComputeQuota
    func quotaClass(_ name: String) async throws -> ComputeQuota
    func set(_ limits: QuotaLimits, ofClass name: String) async throws
}

extension ComputeQuotaStore {
    /// The class that stands under every project.
    package static var defaultClass: String { "default" }

    /// What counts for a user in a project: the user's own limits where an administrator set some, else the project's.
    package func quota(of project: ProjectID, for user: UserID?) async throws -> ComputeQuota {
        if let user, let own = try await quota(of: project, user: user) { return own }
        return try await quota(of: project)
    }
}

/// Flavors, in no order. Adapters keep ids and names unique.
package protocol FlavorStore: Sendable {
    /// All of them, disabled ones too. There are few: callers filter and page.
    func all() async throws -> [FlavorRecord]
    func find(id: String) async throws -> FlavorRecord?
    /// - Throws: ``FlavorStoreError`` when the id or the name is taken.
    func insert(_ record: FlavorRecord) async throws
    func setDescription(_ description: String?, of id: String) async throws -> FlavorRecord?
    /// Whether there was one.
    func delete(id: String) async throws -> Bool
    /// Sets some and removes some extra specs; nil when there is no such flavor.
    func changeExtraSpecs(of id: String, setting: [String: String], removing: [String]) async throws -> FlavorRecord?
    /// - Throws: ``FlavorStoreError/accessExists``.
    func grantAccess(to project: ProjectID, of id: String) async throws
    /// - Throws: ``FlavorStoreError/accessMissing``.
    func revokeAccess(of project: ProjectID, to id: String) async throws
}

package enum FlavorStoreError: Error, Sendable, Equatable {
    case idTaken, nameTaken, accessExists, accessMissing
}

/// A flavor with who may use it when it is not public.
package struct FlavorRecord: Codable, Sendable, Equatable {
    package var flavor: Flavor
    package var projects: [ProjectID]
    package var createdAt: Date

    package init(flavor: Flavor, projects: [ProjectID] = [], createdAt: Date) {
        self.flavor = flavor
        self.projects = projects
        self.createdAt = createdAt
    }

    package func isUsable(by project: ProjectID) -> Bool { flavor.isPublic || projects.contains(project) }
}

/// A user's public key, named.
package struct KeyPair: Codable, Sendable, Equatable {
    package enum Kind: String, Codable, Sendable { case ssh, x509 }
    package var id: Int64
    package var userID: UserID
    package var name: String
    package var kind: Kind
    /// OpenSSH one-line text, or PEM for a certificate.
    package var publicKey: String
    /// Colon-separated MD5 (SSH) or SHA-1 (X.509) of the key.
    package var fingerprint: String
    package var createdAt: Date

    package init(
        id: Int64 = 0, userID: UserID, name: String, kind: Kind, publicKey: String, fingerprint: String, createdAt: Date
    ) {
        self.id = id
        self.userID = userID
        self.name = name
        self.kind = kind
        self.publicKey = publicKey
        self.fingerprint = fingerprint
        self.createdAt = createdAt
    }
}

package protocol KeyPairStore: Sendable {
    /// Sorted by name.
    func all(of user: UserID) async throws -> [KeyPair]
    func find(_ name: String, of user: UserID) async throws -> KeyPair?
    /// Stores the pair under an id of its own and returns it with that.
    /// - Throws: ``KeyPairExists``; ``QuotaExceeded`` past `limit` pairs of the user.
    func insert(_ pair: KeyPair, limit: Int) async throws -> KeyPair
    /// Whether there was one.
    func delete(_ name: String, of user: UserID) async throws -> Bool
}

package struct KeyPairExists: Error, Sendable, Equatable {
    package init() {}
}

/// One thing that a user asked of a server: the API's instance action.
package struct InstanceActionRecord: Codable, Sendable, Equatable {
    package var serverID: ServerID
    /// `create`, `start`, `stop`, `reboot`, `delete`, `lock`, ...
    package var action: String
    package var requestID: String
    package var userID: UserID
    package var projectID: ProjectID
    package var startedAt: Date
    /// Why it was refused or failed, if it was.
    package var message: String?

    package init(
        serverID: ServerID, action: String, requestID: String, userID: UserID, projectID: ProjectID, startedAt: Date,
        message: String? = nil
    ) {
        self.serverID = serverID
        self.action = action
        self.requestID = requestID
        self.userID = userID
        self.projectID = projectID
        self.startedAt = startedAt
        self.message = message
    }
}

/// What was asked of servers, newest first.
package protocol InstanceActionStore: Sendable {
    func record(_ actions: [InstanceActionRecord]) async throws
    func actions(of server: ServerID) async throws -> [InstanceActionRecord]
    /// The hosts that were chosen for a server, in order of time: in their cells' logs is how its actions went.
    func attempts(of server: ServerID) async throws -> [PlacementAttempt]
}
