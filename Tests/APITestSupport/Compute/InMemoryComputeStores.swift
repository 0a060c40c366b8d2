package import CloudModel
import Synchronization

/// Flavors in memory.
package final class InMemoryFlavorStore: FlavorStore {
    private let records: Mutex<[String: FlavorRecord]>

    package init(_ records: [FlavorRecord] = []) {
        self.records = Mutex(Dictionary(records.map { ($0.flavor.id, $0) }, uniquingKeysWith: { $1 }))
    }

    package func all() async throws -> [FlavorRecord] {
        records.withLock { $0.values.sorted { $0.flavor.id < $1.flavor.id } }
    }

    package func find(id: String) async throws -> FlavorRecord? { records.withLock { $0[id] } }

    package func insert(_ record: FlavorRecord) async throws {
        try records.withLock { records in
            guard records[record.flavor.id] == nil else { throw FlavorStoreError.idTaken }
            guard !records.values.contains(where: { $0.flavor.name == record.flavor.name }) else {
                throw FlavorStoreError.nameTaken
            }
            records[record.flavor.id] = record
        }
    }

    package func setDescription(_ description: String?, of id: String) async throws -> FlavorRecord? {
        change(id) { $0.flavor.description = description }
    }

    package func delete(id: String) async throws -> Bool { records.withLock { $0.removeValue(forKey: id) != nil } }

    package func changeExtraSpecs(
        of id: String, setting: [String: String], removing: [String]
    ) async throws -> FlavorRecord? {
        change(id) { record in
            for key in removing { record.flavor.extraSpecs[key] = nil }
            record.flavor.extraSpecs.merge(setting) { $1 }
        }
    }

    package func grantAccess(to project: ProjectID, of id: String) async throws {
        try records.withLock { records in
            guard records[id]?.projects.contains(project) == false else { throw FlavorStoreError.accessExists }
            records[id]?.projects.append(project)
        }
    }

    package func revokeAccess(of project: ProjectID, to id: String) async throws {
        try records.withLock { records in
            guard records[id]?.projects.contains(project) == true else { throw FlavorStoreError.accessMissing }
            records[id]?.projects.removeAll { $0 == project }
        }
    }

    private func change(_ id: String, _ body: (inout FlavorRecord) -> Void) -> FlavorRecord? {
        records.withLock { records in
            guard var record = records[id] else { return nil }
            body(&record)
            records[id] = record
            return record
        }
    }
}

/// Key pairs in memory.
package final class InMemoryKeyPairStore: KeyPairStore {
    private let pairs = Mutex<[KeyPair]>([])

    package init() {}

    package func all(of user: UserID) async throws -> [KeyPair] {
        pairs.withLock { $0.filter { $0.userID == user }.sorted { $0.name < $1.name } }
    }

    package func find(_ name: String, of user: UserID) async throws -> KeyPair? {
        pairs.withLock { $0.first { $0.userID == user && $0.name == name } }
    }

    package func insert(_ pair: KeyPair, limit: Int) async throws -> KeyPair {
        try pairs.withLock { pairs in
            let own = pairs.filter { $0.userID == pair.userID }
            guard !own.contains(where: { $0.name == pair.name }) else { throw KeyPairExists() }
            guard limit < 0 || own.count < limit else {
                throw QuotaExceeded(resource: "key_pairs", requested: 1, used: own.count, limit: limit)
            }
            var stored = pair
            stored.id = Int64(pairs.count + 1)
            pairs.append(stored)
            return stored
        }
    }

    package func delete(_ name: String, of user: UserID) async throws -> Bool {
        pairs.withLock { pairs in
            let count = pairs.count
            pairs.removeAll { $0.userID == user && $0.name == name }
            return pairs.count < count
        }
    }
}

/// Compute quotas in memory.
package final class InMemoryComputeQuotaStore: ComputeQuotaStore {
    private struct Place: Hashable {
        let project: ProjectID
        let user: UserID?
    }

    private let places = Mutex<[Place: QuotaLimits]>([:])
    private let classes = Mutex<[String: QuotaLimits]>([:])

    package init() {}

    package func quota(of project: ProjectID) async throws -> ComputeQuota {
        let defaults = try await defaults()
        return places.withLock { $0[Place(project: project, user: nil)] }?.over(defaults) ?? defaults
    }

    package func quota(of project: ProjectID, user: UserID) async throws -> ComputeQuota? {
        let quota = try await quota(of: project)
        return places.withLock { $0[Place(project: project, user: user)] }?.over(quota)
    }

    package func set(_ limits: QuotaLimits, of project: ProjectID, user: UserID?) async throws {
        places.withLock { places in
            let place = Place(project: project, user: user)
            places[place] = Self.merged(limits, over: places[place])
        }
    }

    package func reset(_ project: ProjectID, user: UserID?) async throws {
        places.withLock { places in
            places = places.filter { $0.key.project != project || (user != nil && $0.key.user != user) }
        }
    }

    package func defaults() async throws -> ComputeQuota { try await quotaClass(Self.defaultClass) }

    package func quotaClass(_ name: String) async throws -> ComputeQuota {
        classes.withLock { $0[name] }?.over(.standard) ?? .standard
    }

    package func set(_ limits: QuotaLimits, ofClass name: String) async throws {
        classes.withLock { $0[name] = Self.merged(limits, over: $0[name]) }
    }

    private static func merged(_ limits: QuotaLimits, over old: QuotaLimits?) -> QuotaLimits {
        var merged = old ?? QuotaLimits()
        merged.instances = limits.instances ?? merged.instances
        merged.cores = limits.cores ?? merged.cores
        merged.memoryMiB = limits.memoryMiB ?? merged.memoryMiB
        merged.keyPairs = limits.keyPairs ?? merged.keyPairs
        merged.metadataItems = limits.metadataItems ?? merged.metadataItems
        merged.serverGroups = limits.serverGroups ?? merged.serverGroups
        merged.serverGroupMembers = limits.serverGroupMembers ?? merged.serverGroupMembers
        if let retired = limits.retired { merged.retired = (merged.retired ?? [:]).merging(retired) { $1 } }
        return merged
    }
}

/// What was asked of servers, in memory.
package final class InMemoryInstanceActionStore: InstanceActionStore {
    private let actions = Mutex<[InstanceActionRecord]>([])

    package init() {}

    package func record(_ new: [InstanceActionRecord]) async throws { actions.withLock { $0 += new } }
    package func actions(of server: ServerID) async throws -> [InstanceActionRecord] {
        actions.withLock { Array($0.filter { $0.serverID == server }.reversed()) }
    }

    private let chosen = Mutex<[ServerID: [PlacementAttempt]]>([:])
    package func setAttempts(_ attempts: [PlacementAttempt], of server: ServerID) {
        chosen.withLock { $0[server] = attempts }
    }
    package func attempts(of server: ServerID) async throws -> [PlacementAttempt] {
        chosen.withLock { $0[server] ?? [] }
    }
}
