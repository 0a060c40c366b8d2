package import CellProtocol
package import CloudModel
package import FoundationEssentials
package import Primitives
import Synchronization

/// The stand-in for a cell's database: for tests and simulations.
package final class InMemoryCellStore: CellStore {
    struct Held: Sendable {
        var record: SagaRecord
        var owner: String?
        var until: Date
    }

    struct Event: Sendable {
        var event: CellEvent
        var sequence: Int64?
        var at: Date
    }

    struct State {
        var servers: [ServerID: StoredServer] = [:]
        var sagas: [SagaID: Held] = [:]
        var actions: [CellActionRecord] = []
        var hosts: [HostName: HostRecord] = [:]
        var outbox: [Event] = []
        var newestSequence: Int64 = 0
        var publishedSequence: Int64 = 0
        var duties: [CellDuty: (owner: String, until: Date)] = [:]
        var conductors: [String: Date] = [:]
        var listeners: [Int: (nudge: CellNudge, call: @Sendable () -> Void)] = [:]
        var nextListener = 0
    }

    let cell: CellPath
    let wallClock: any WallClock
    let state = Mutex(State())

    package init(cell: CellPath, wallClock: any WallClock) {
        self.cell = cell
        self.wallClock = wallClock
    }

    func nudge(_ nudges: Set<CellNudge>) {
        let calls = state.withLock { state in
            state.listeners.values.filter { nudges.contains($0.nudge) }.map(\.call)
        }
        for call in calls { call() }
    }
}

// MARK: Servers and sagas

extension InMemoryCellStore {
    package func transact<Result: Sendable>(
        _ scope: CellScope, _ decide: @escaping @Sendable (CellSnapshot) -> CellDecision<Result>
    ) async throws(CellStoreError) -> Result {
        let (result, nudges) = state.withLock { state in
            let decision = decide(Self.snapshot(of: scope, in: state))
            return (decision.result, write(decision.changes, to: &state))
        }
        nudge(nudges)
        return result
    }

    package func claim<Result: Sendable>(
        _ lease: SagaLease, limit: Int, _ decide: @escaping @Sendable (CellSnapshot) -> CellDecision<Result>
    ) async throws(CellStoreError) -> Result {
        let now = wallClock.now()
        let (result, nudges) = state.withLock { state in
            let free = state.sagas.values
                .filter { $0.record.state == .live && ($0.owner == nil || $0.until < now) }
                .sorted { ($0.record.createdAt, $0.record.id) < ($1.record.createdAt, $1.record.id) }
                .prefix(limit)
            var snapshot = CellSnapshot()
            for held in free {
                let id = held.record.id
                state.sagas[id]?.owner = lease.owner
                state.sagas[id]?.until = now + lease.duration.timeInterval
                snapshot.sagas[id] = held.record
                snapshot.servers[held.record.serverID] = state.servers[held.record.serverID]
            }
            let decision = decide(snapshot)
            return (decision.result, write(decision.changes, to: &state))
        }
        nudge(nudges)
        return result
    }

    private static func snapshot(of scope: CellScope, in state: State) -> CellSnapshot {
        var snapshot = CellSnapshot()
        for id in scope.sagas {
            guard let held = state.sagas[id] else { continue }
            snapshot.sagas[id] = held.record
            snapshot.servers[held.record.serverID] = state.servers[held.record.serverID]
        }
        for id in scope.servers { snapshot.servers[id] = state.servers[id] }
        for held in state.sagas.values
        where held.record.state == .live && snapshot.servers[held.record.serverID] != nil {
            snapshot.sagas[held.record.id] = held.record
        }
        let keys = Set(scope.idempotencyKeys)
        let servers = Set(scope.servers)
        snapshot.knownKeys = Set(
            state.actions.filter { servers.contains($0.serverID) && keys.contains($0.idempotencyKey) }
                .map(\.idempotencyKey))
        snapshot.knownHosts = Set(scope.hosts.filter { state.hosts[$0] != nil })
        return snapshot
    }

    private func write(_ changes: CellChanges, to state: inout State) -> Set<CellNudge> {
        let now = wallClock.now()
        var nudges: Set<CellNudge> = []
        state.servers.merge(changes.servers) { $1 }
        for record in changes.newSagas {
            state.sagas[record.id] = Held(record: record, owner: nil, until: .distantPast)
            nudges.insert(.sagas)
        }
        state.actions += changes.newActions
        for (id, change) in changes.sagas {
            guard var held = state.sagas[id] else { continue }
            held.record.log += change.appended
            switch change.ownership {
            case .unchanged: break
            case .taken(let lease):
                held.owner = lease.owner
                held.until = now + lease.duration.timeInterval
            case .released:
                held.owner = nil
                nudges.insert(.sagas)
            }
            if let end = change.end {
                held.record.state = end.state
                held.owner = nil
                for index in state.actions.indices
                where state.actions[index].sagaID == id && state.actions[index].finishedAt == nil {
                    state.actions[index].finishedAt = end.at
                    state.actions[index].message = end.message
                }
            }
            state.sagas[id] = held
        }
        append(changes.events, to: &state)
        if !changes.events.isEmpty { nudges.insert(.outbox) }
        return nudges
    }

    func append(_ events: [CellEvent], to state: inout State) {
        let now = wallClock.now()
        state.outbox += events.map { Event(event: $0, sequence: nil, at: now) }
    }

    package func renew(_ lease: SagaLease, _ sagas: [SagaID]) async throws(CellStoreError) -> [SagaID: Bool] {
        let now = wallClock.now()
        return state.withLock { state in
            state.conductors[lease.owner] = now
            var kept: [SagaID: Bool] = [:]
            for id in sagas {
                guard let held = state.sagas[id], held.owner == lease.owner, held.record.state == .live else {
                    continue
                }
                state.sagas[id]?.until = now + lease.duration.timeInterval
                kept[id] = state.hosts[held.record.host]?.isUp ?? false
            }
            return kept
        }
    }

    package func release(owner: String) async throws(CellStoreError) {
        state.withLock { state in
            state.conductors[owner] = nil
            for (id, held) in state.sagas where held.owner == owner { state.sagas[id]?.owner = nil }
        }
        nudge([.sagas])
    }

    package func servers(_ ids: [ServerID]) async throws(CellStoreError) -> [LocatedServer] {
        state.withLock { state in
            ids.compactMap { state.servers[$0] }.filter { !$0.isDeleted }.map { server in
                let host = server.instance.host.flatMap { state.hosts[$0] }
                return LocatedServer(
                    instance: server.instance,
                    host: host.map {
                        HostStanding(
                            hypervisorHostname: $0.inventory.hypervisorHostname, isUp: $0.isUp, isEnabled: $0.isEnabled)
                    })
            }
        }
    }

    package func inventory(
        after id: ServerID?, limit: Int
    ) async throws(CellStoreError) -> (servers: [Instance], sequence: Int64) {
        state.withLock { state in
            let known = state.servers.values.map(\.instance)
                .filter { $0.state.vm != .error || $0.launchedAt != nil }
                .sorted { $0.id < $1.id }
            let page = known.filter { instance in id.map { instance.id > $0 } ?? true }.prefix(limit)
            return (Array(page), state.newestSequence)
        }
    }

    package func audit() async throws(CellStoreError) -> DirectoryAudit {
        state.withLock { state in
            let built = state.servers.values.map(\.instance).filter { instance in
                ![.building, .deleted].contains(instance.state.vm)
                    && (instance.state.vm != .error || instance.launchedAt != nil)
            }
            let digest = built.reduce(UInt64(0)) { sum, instance in
                let head = UInt64(instance.id.hex.prefix(8), radix: 16) ?? 0
                return (sum + head * UInt64(instance.state.vm.rawValue.utf8.count)) % DirectoryAudit.modulus
            }
            return DirectoryAudit(sequence: state.newestSequence, servers: built.count, digest: Int64(digest))
        }
    }

    package func placed(on hosts: [HostName], or ids: [ServerID]) async throws(CellStoreError) -> [PlacedServer] {
        let hosts = Set(hosts)
        let ids = Set(ids)
        return state.withLock { state in
            state.servers.values.map(\.instance)
                .filter { instance in
                    ids.contains(instance.id)
                        || (instance.state.vm != .deleted && instance.host.map(hosts.contains) == true)
                }
                .map {
                    PlacedServer(id: $0.id, host: $0.host, state: $0.state, epoch: $0.epoch, updatedAt: $0.updatedAt)
                }
        }
    }

    package func actions(of id: ServerID, limit: Int) async throws(CellStoreError) -> [CellActionRecord] {
        state.withLock { state in Array(state.actions.filter { $0.serverID == id }.reversed().prefix(limit)) }
    }

    package func pruneServers(endedBefore date: Date, limit: Int) async throws(CellStoreError) -> Int {
        state.withLock { state in
            let live = Set(state.sagas.values.filter { $0.record.state == .live }.map(\.record.serverID))
            let old = state.servers.values.filter { server in
                let isFailed = server.isFailedBuild && !live.contains(server.instance.id)
                return (server.isDeleted || isFailed) && server.instance.updatedAt < date
            }.prefix(limit)
            let ids = Set(old.map(\.instance.id))
            for id in ids { state.servers[id] = nil }
            state.sagas = state.sagas.filter { !ids.contains($0.value.record.serverID) }
            state.actions.removeAll { ids.contains($0.serverID) }
            return ids.count
        }
    }
}
