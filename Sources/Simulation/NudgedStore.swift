package import CellProtocol
package import CloudModel
package import FoundationEssentials
package import ServerLifecycle
import Synchronization

/// A cell's store whose nudges stay in this process: a laboratory's leaf has one supervisor and one conductor in the same
/// process, so neither needs a database session that does nothing but listen. Everything else is the store's own.
package final class NudgedStore: CellStore {
    private let store: any CellStore
    private let listeners = Mutex<[Int: (nudge: CellNudge, call: @Sendable () -> Void)]>([:])
    private let nextListener = Mutex(0)

    package init(_ store: any CellStore) { self.store = store }

    private func nudge(_ kinds: CellNudge...) {
        let calls = listeners.withLock { $0.values.filter { kinds.contains($0.nudge) }.map(\.call) }
        for call in calls { call() }
    }

    package func listen(
        _ nudge: CellNudge, _ onNudge: @escaping @Sendable () -> Void
    ) async throws(CellStoreError) {
        let number = nextListener.withLock { next in
            next += 1
            return next
        }
        listeners.withLock { $0[number] = (nudge, onNudge) }
        onNudge()
        // Ends with the task.
        let (stream, continuation) = AsyncStream.makeStream(of: Void.self)
        for await _ in stream {}
        continuation.finish()
        listeners.withLock { $0[number] = nil }
    }

    package func transact<Result: Sendable>(
        _ scope: CellScope, _ decide: @escaping @Sendable (CellSnapshot) -> CellDecision<Result>
    ) async throws(CellStoreError) -> Result {
        let work = Work()
        let result = try await store.transact(scope) { work.note(decide($0)) }
        if work.hasFreeSagas { nudge(.sagas) }
        if work.hasEvents { nudge(.outbox) }
        return result
    }

    package func claim<Result: Sendable>(
        _ lease: SagaLease, limit: Int, _ decide: @escaping @Sendable (CellSnapshot) -> CellDecision<Result>
    ) async throws(CellStoreError) -> Result {
        defer { nudge(.outbox) }
        return try await store.claim(lease, limit: limit, decide)
    }

    package func changeHosts<Result: Sendable>(
        _ names: [HostName], providers: [ProviderID],
        _ decide: @escaping @Sendable ([HostName: HostRecord]) -> HostDecision<Result>
    ) async throws(CellStoreError) -> Result {
        defer { nudge(.outbox) }
        return try await store.changeHosts(names, providers: providers, decide)
    }

    package func release(owner: String) async throws(CellStoreError) {
        defer { nudge(.sagas) }
        try await store.release(owner: owner)
    }

    // MARK: As they are

    package func renew(
        _ lease: SagaLease, _ sagas: [SagaID: Int]
    ) async throws(CellStoreError) -> [SagaID: Bool] { try await store.renew(lease, sagas) }

    package func servers(_ ids: [ServerID]) async throws(CellStoreError) -> [LocatedServer] {
        try await store.servers(ids)
    }

    package func inventory(
        after id: ServerID?, limit: Int
    ) async throws(CellStoreError) -> (servers: [Instance], sequence: Int64) {
        try await store.inventory(after: id, limit: limit)
    }

    package func audit() async throws(CellStoreError) -> DirectoryAudit { try await store.audit() }

    package func placed(
        on hosts: [HostName], or ids: [ServerID]
    ) async throws(CellStoreError) -> [PlacedServer] { try await store.placed(on: hosts, or: ids) }

    package func actions(of id: ServerID, limit: Int) async throws(CellStoreError) -> [CellActionRecord] {
        try await store.actions(of: id, limit: limit)
    }

    package func ports(_ digits: [String]) async throws(CellStoreError) -> [String: PlacedPort] {
        try await store.ports(digits)
    }

    package func upkeep(before date: Date) async throws(CellStoreError) -> CellUpkeep {
        try await store.upkeep(before: date)
    }

    package func sagas(_ filter: SagaFilter) async throws(CellStoreError) -> [SagaRecord] {
        try await store.sagas(filter)
    }

    package func sagas(_ ids: [SagaID]) async throws(CellStoreError) -> [SagaRecord] { try await store.sagas(ids) }

    package func pruneServers(endedBefore date: Date, limit: Int) async throws(CellStoreError) -> Int {
        try await store.pruneServers(endedBefore: date, limit: limit)
    }

    package func hosts() async throws(CellStoreError) -> [HostRecord] { try await store.hosts() }

    package func touchHosts(_ sightings: [HostSighting]) async throws(CellStoreError) -> Set<HostName> {
        try await store.touchHosts(sightings)
    }

    package func silentHosts(since date: Date) async throws(CellStoreError) -> [HostName] {
        try await store.silentHosts(since: date)
    }

    package func takeDuty(
        _ duty: CellDuty, owner: String, for duration: Duration
    ) async throws(CellStoreError) -> Bool { try await store.takeDuty(duty, owner: owner, for: duration) }

    package func releaseDuty(_ duty: CellDuty, owner: String) async throws(CellStoreError) {
        try await store.releaseDuty(duty, owner: owner)
    }

    package func pulse() async throws(CellStoreError) -> CellPulse { try await store.pulse() }

    package func unpublishedEvents(
        confirmed: Int64?, limit: Int
    ) async throws(CellStoreError) -> [EncodedEvent] {
        try await store.unpublishedEvents(confirmed: confirmed, limit: limit)
    }

    package func events(
        after sequence: Int64, limit: Int
    ) async throws(CellStoreError) -> (events: [EncodedEvent], newest: Int64) {
        try await store.events(after: sequence, limit: limit)
    }

    package func pruneEvents(before date: Date, limit: Int) async throws(CellStoreError) -> Int {
        try await store.pruneEvents(before: date, limit: limit)
    }
}

/// What a transaction leaves to others; of its last attempt.
private final class Work: Sendable {
    private let left = Mutex((sagas: false, events: false))

    var hasFreeSagas: Bool { left.withLock { $0.sagas } }
    var hasEvents: Bool { left.withLock { $0.events } }

    func note<Result: Sendable>(_ decision: CellDecision<Result>) -> CellDecision<Result> {
        let changes = decision.changes
        let hasFreeSagas =
            !changes.newSagas.isEmpty
            || changes.sagas.values.contains { $0.ownership == .released && $0.end == nil }
        left.withLock { $0 = (hasFreeSagas, !changes.events.isEmpty) }
        return decision
    }
}
