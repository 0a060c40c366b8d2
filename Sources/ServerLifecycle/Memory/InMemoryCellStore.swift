package import CellProtocol
package import CloudModel
package import FoundationEssentials
package import Primitives
import Synchronization

/// The stand-in for a cell's database: for tests and simulations.
package final class InMemoryCellStore: CellStore {
    struct Event: Sendable {
        var event: CellEvent
        var sequence: Int64?
        var at: Date
    }

    struct State {
        var servers: [ServerID: StoredServer] = [:]
        var sagas: [SagaID: SagaRecord] = [:]
        var actions: [CellActionRecord] = []
        var hosts: [HostName: HostRecord] = [:]
        var outbox: [Event] = []
        var newestSequence: Int64 = 0
        var publishedSequence: Int64 = 0
        var duties: [CellDuty: (owner: String, until: Date)] = [:]
        /// Until when each is up.
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
                .filter { saga in
                    saga.state == .live && saga.holder.map { $0.until < now } ?? true
                        && ServerSaga.stored(name: saga.name, version: saga.version) != nil
                }
                .sorted { ($0.createdAt, $0.id) < ($1.createdAt, $1.id) }
                .prefix(limit)
            var snapshot = CellSnapshot()
            for var saga in free {
                snapshot.formerOwners[saga.id] = saga.holder?.owner
                saga.take(lease, at: now)
                state.sagas[saga.id] = saga
                snapshot.sagas[saga.id] = saga
                snapshot.servers[saga.serverID] = state.servers[saga.serverID]
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
            guard let saga = state.sagas[id] else { continue }
            snapshot.sagas[id] = saga
            snapshot.servers[saga.serverID] = state.servers[saga.serverID]
        }
        for id in scope.servers { snapshot.servers[id] = state.servers[id] }
        for saga in state.sagas.values where saga.state.isOpen && snapshot.servers[saga.serverID] != nil {
            snapshot.sagas[saga.id] = saga
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
            state.sagas[record.id] = record
            nudges.insert(.sagas)
        }
        state.actions += changes.newActions
        for (id, change) in changes.sagas {
            guard var saga = state.sagas[id] else { continue }
            saga.log += change.appended
            switch change.ownership {
            case .unchanged: break
            case .taken(let lease): saga.take(lease, at: now)
            case .released:
                saga.holder = nil
                nudges.insert(.sagas)
            }
            if change.isTakenUp {
                saga.takeUp()
                finishActions(of: id, at: nil, message: nil, in: &state) { _ in true }
            }
            if let end = change.end {
                saga.close(end)
                finishActions(of: id, at: end.at, message: end.message, in: &state) {
                    $0.finishedAt == nil || end.state == .abandoned
                }
            }
            state.sagas[id] = saga
        }
        append(changes.events, to: &state)
        if !changes.events.isEmpty { nudges.insert(.outbox) }
        return nudges
    }

    private func finishActions(
        of saga: SagaID, at date: Date?, message: String?, in state: inout State,
        where isMeant: (CellActionRecord) -> Bool
    ) {
        for index in state.actions.indices where state.actions[index].sagaID == saga && isMeant(state.actions[index]) {
            state.actions[index].finishedAt = date
            state.actions[index].message = message
        }
    }

    func append(_ events: [CellEvent], to state: inout State) {
        let now = wallClock.now()
        state.outbox += events.map { Event(event: $0, sequence: nil, at: now) }
    }

    package func renew(_ lease: SagaLease, _ sagas: [SagaID: Int]) async throws(CellStoreError) -> [SagaID: Bool] {
        let now = wallClock.now()
        return state.withLock { state in
            state.conductors[lease.owner] = now + max(lease.duration, CellPulse.conductorTimeout).timeInterval
            var kept: [SagaID: Bool] = [:]
            for (id, epoch) in sagas {
                guard let saga = state.sagas[id], saga.holder?.owner == lease.owner, saga.leaseEpoch == epoch,
                    saga.state == .live
                else { continue }
                state.sagas[id]?.holder?.until = now + lease.duration.timeInterval
                kept[id] = state.hosts[saga.host]?.isUp ?? false
            }
            return kept
        }
    }

    package func release(owner: String) async throws(CellStoreError) {
        state.withLock { state in
            state.conductors[owner] = nil
            for (id, saga) in state.sagas where saga.holder?.owner == owner { state.sagas[id]?.holder = nil }
        }
        nudge([.sagas])
    }

    package func sagas(_ filter: SagaFilter) async throws(CellStoreError) -> [SagaRecord] {
        state.withLock { state in
            let found = state.sagas.values.filter { saga in
                filter.states.contains(saga.state) && filter.server.map { $0 == saga.serverID } ?? true
                    && filter.host.map { $0 == saga.host } ?? true
                    && filter.createdBefore.map { saga.createdAt < $0 } ?? true
                    && filter.after.map { $0 < .init(createdAt: saga.createdAt, id: saga.id) } ?? true
            }
            return Array(found.sorted { ($0.createdAt, $0.id) < ($1.createdAt, $1.id) }.prefix(filter.limit))
        }
    }

    package func sagas(_ ids: [SagaID]) async throws(CellStoreError) -> [SagaRecord] {
        state.withLock { state in ids.compactMap { state.sagas[$0] } }
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

    package func actions(of id: ServerID, limit: Int) async throws(CellStoreError) -> [CellActionRecord] {
        state.withLock { state in Array(state.actions.filter { $0.serverID == id }.reversed().prefix(limit)) }
    }

    package func pruneServers(endedBefore date: Date, limit: Int) async throws(CellStoreError) -> Int {
        state.withLock { state in
            let busy = Set(state.sagas.values.filter(\.state.isOpen).map(\.serverID))
            let old = state.servers.values.filter { server in
                (server.isDeleted || server.isFailedBuild) && !busy.contains(server.instance.id)
                    && server.instance.updatedAt < date
            }.prefix(limit)
            let ids = Set(old.map(\.instance.id))
            for id in ids { state.servers[id] = nil }
            state.sagas = state.sagas.filter { !ids.contains($0.value.serverID) }
            state.actions.removeAll { ids.contains($0.serverID) }
            return ids.count
        }
    }
}
