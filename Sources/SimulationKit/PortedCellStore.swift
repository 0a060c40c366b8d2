import CellProtocol
import CloudModel
import FoundationEssentials
import SagaEngine
import ServerLifecycle

/// A leaf's store as one process reaches it.
struct PortedCellStore: PortedChildStore, CellStore {
    let base: InMemoryCellStore
    let port: DatabasePort

    func transact<Result: Sendable>(
        _ scope: CellScope, _ decide: @escaping @Sendable (CellSnapshot) -> CellDecision<Result>
    ) async throws(CellStoreError) -> Result {
        try await port.call { () async throws(CellStoreError) in try await base.transact(scope, decide) }
    }

    func claim<Result: Sendable>(
        _ lease: SagaLease, limit: Int, _ decide: @escaping @Sendable (CellSnapshot) -> CellDecision<Result>
    ) async throws(CellStoreError) -> Result {
        let isSkipping = port.weather.skipsLogWrites && port.weather.chance(30)
        return try await port.call { () async throws(CellStoreError) in
            try await base.claim(lease, limit: limit) { snapshot in
                var decision = decide(snapshot)
                // The planted bug: that a step is begun is not written before it is.
                if isSkipping { for id in decision.changes.sagas.keys { decision.changes.sagas[id]?.appended = [] } }
                return decision
            }
        }
    }

    func renew(_ lease: SagaLease, _ sagas: [SagaID: Int]) async throws(CellStoreError) -> [SagaID: Bool] {
        try await port.call { () async throws(CellStoreError) in try await base.renew(lease, sagas) }
    }
    func release(owner: String) async throws(CellStoreError) {
        try await port.call { () async throws(CellStoreError) in try await base.release(owner: owner) }
    }
    func servers(_ ids: [ServerID]) async throws(CellStoreError) -> [LocatedServer] {
        try await port.call { () async throws(CellStoreError) in try await base.servers(ids) }
    }
    func inventory(
        after id: ServerID?, limit: Int
    ) async throws(CellStoreError) -> (servers: [Instance], sequence: Int64) {
        try await port.call { () async throws(CellStoreError) in try await base.inventory(after: id, limit: limit) }
    }
    func audit() async throws(CellStoreError) -> DirectoryAudit {
        try await port.call { () async throws(CellStoreError) in try await base.audit() }
    }
    func placed(on hosts: [HostName], or ids: [ServerID]) async throws(CellStoreError) -> [PlacedServer] {
        try await port.call { () async throws(CellStoreError) in try await base.placed(on: hosts, or: ids) }
    }
    func actions(of id: ServerID, limit: Int) async throws(CellStoreError) -> [CellActionRecord] {
        try await port.call { () async throws(CellStoreError) in try await base.actions(of: id, limit: limit) }
    }
    func ports(_ digits: [String]) async throws(CellStoreError) -> [String: PlacedPort] {
        try await port.call { () async throws(CellStoreError) in try await base.ports(digits) }
    }
    func upkeep(before date: Date) async throws(CellStoreError) -> CellUpkeep {
        try await port.call { () async throws(CellStoreError) in try await base.upkeep(before: date) }
    }
    func sagas(_ filter: SagaFilter) async throws(CellStoreError) -> [SagaRecord] {
        try await port.call { () async throws(CellStoreError) in try await base.sagas(filter) }
    }
    func sagas(_ ids: [SagaID]) async throws(CellStoreError) -> [SagaRecord] {
        try await port.call { () async throws(CellStoreError) in try await base.sagas(ids) }
    }
    func pruneServers(endedBefore date: Date, limit: Int) async throws(CellStoreError) -> Int {
        try await port.call { () async throws(CellStoreError) in
            try await base.pruneServers(endedBefore: date, limit: limit)
        }
    }

    // MARK: Hosts

    func hosts() async throws(CellStoreError) -> [HostRecord] {
        try await port.call { () async throws(CellStoreError) in try await base.hosts() }
    }
    func touchHosts(_ sightings: [HostSighting]) async throws(CellStoreError) -> Set<HostName> {
        try await port.call { () async throws(CellStoreError) in try await base.touchHosts(sightings) }
    }
    func changeHosts<Result: Sendable>(
        _ names: [HostName], providers: [ProviderID],
        _ decide: @escaping @Sendable ([HostName: HostRecord]) -> HostDecision<Result>
    ) async throws(CellStoreError) -> Result {
        try await port.call { () async throws(CellStoreError) in
            try await base.changeHosts(names, providers: providers, decide)
        }
    }
    func silentHosts(since date: Date) async throws(CellStoreError) -> [HostName] {
        try await port.call { () async throws(CellStoreError) in try await base.silentHosts(since: date) }
    }
}
