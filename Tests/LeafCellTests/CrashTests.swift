import CellProtocol
import CloudModel
import Conductor
import FoundationEssentials
import MessageBus
import ServerLifecycle
import Synchronization
import Testing

/// A store that stops answering its conductor before or after one of its transactions, as a killed process would.
final class DyingStore: CellStore {
    enum Moment: String, CaseIterable { case before, after }

    private let base: any CellStore
    private let fatal: Int
    private let moment: Moment
    private let count = Mutex(0)
    private let died = Mutex(false)

    init(_ base: any CellStore, fatal: Int, _ moment: Moment) {
        self.base = base
        self.fatal = fatal
        self.moment = moment
    }

    var isDead: Bool { died.withLock { $0 } }

    /// Writes count; after the fatal one nothing comes back any more.
    private func living<Result>(
        _ body: () async throws(CellStoreError) -> Result
    ) async throws(CellStoreError) -> Result {
        if isDead { try await hang() }
        let number = count.withLock { count in
            count += 1
            return count
        }
        if number == fatal, moment == .before { try await die() }
        let result = try await body()
        if number == fatal { try await die() }
        return result
    }

    private func die() async throws(CellStoreError) {
        died.withLock { $0 = true }
        try await hang()
    }

    private func hang() async throws(CellStoreError) {
        do {
            while true { try await ContinuousClock().sleep(for: .seconds(60)) }
        } catch {
            throw .cancelled
        }
    }

    func transact<Result: Sendable>(
        _ scope: CellScope, _ decide: @escaping @Sendable (CellSnapshot) -> CellDecision<Result>
    ) async throws(CellStoreError) -> Result {
        try await living { () async throws(CellStoreError) in try await base.transact(scope, decide) }
    }

    func claim<Result: Sendable>(
        _ lease: SagaLease, limit: Int, _ decide: @escaping @Sendable (CellSnapshot) -> CellDecision<Result>
    ) async throws(CellStoreError) -> Result {
        if isDead { try await hang() }
        let isFatal = count.withLock { $0 + 1 } == fatal
        // What is claimed before a fatal write is claimed and not begun: as good as not claimed once the lease is over.
        let isKept = !isFatal || moment == .after
        let taken = SagaLease(owner: lease.owner, duration: isKept ? lease.duration : .zero)
        let (result, isFree) = try await base.claim(taken, limit: limit) { snapshot in
            guard isKept || snapshot.sagas.isEmpty else {
                return CellDecision(CellChanges(), (decide(CellSnapshot()).result, true))
            }
            let decision = decide(snapshot)
            return CellDecision(decision.changes, (decision.result, !snapshot.sagas.isEmpty))
        }
        // Looking in vain is no point to die at.
        guard isFree else { return result }
        count.withLock { $0 += 1 }
        if isFatal { try await die() }
        return result
    }

    func renew(_ lease: SagaLease, _ sagas: [SagaID: Int]) async throws(CellStoreError) -> [SagaID: Bool] {
        try await base.renew(lease, sagas)
    }
    func release(owner: String) async throws(CellStoreError) { try await base.release(owner: owner) }
    func servers(_ ids: [ServerID]) async throws(CellStoreError) -> [LocatedServer] { try await base.servers(ids) }
    func inventory(
        after id: ServerID?, limit: Int
    ) async throws(CellStoreError) -> (servers: [Instance], sequence: Int64) {
        try await base.inventory(after: id, limit: limit)
    }
    func audit() async throws(CellStoreError) -> DirectoryAudit { try await base.audit() }
    func placed(on hosts: [HostName], or ids: [ServerID]) async throws(CellStoreError) -> [PlacedServer] {
        try await base.placed(on: hosts, or: ids)
    }
    func actions(of id: ServerID, limit: Int) async throws(CellStoreError) -> [CellActionRecord] {
        try await base.actions(of: id, limit: limit)
    }
    func ports(_ digits: [String]) async throws(CellStoreError) -> [String: PlacedPort] { try await base.ports(digits) }
    func upkeep(before date: Date) async throws(CellStoreError) -> CellUpkeep { try await base.upkeep(before: date) }
    func sagas(_ filter: SagaFilter) async throws(CellStoreError) -> [SagaRecord] { try await base.sagas(filter) }
    func sagas(_ ids: [SagaID]) async throws(CellStoreError) -> [SagaRecord] { try await base.sagas(ids) }
    func pruneServers(endedBefore date: Date, limit: Int) async throws(CellStoreError) -> Int {
        try await base.pruneServers(endedBefore: date, limit: limit)
    }
    func hosts() async throws(CellStoreError) -> [HostRecord] { try await base.hosts() }
    func touchHosts(_ sightings: [HostSighting]) async throws(CellStoreError) -> Set<HostName> {
        try await base.touchHosts(sightings)
    }
    func changeHosts<Result: Sendable>(
        _ names: [HostName], providers: [ProviderID],
        _ decide: @escaping @Sendable ([HostName: HostRecord]) -> HostDecision<Result>
    ) async throws(CellStoreError) -> Result { try await base.changeHosts(names, providers: providers, decide) }
    func silentHosts(since date: Date) async throws(CellStoreError) -> [HostName] {
        try await base.silentHosts(since: date)
    }
    func unpublishedEvents(confirmed: Int64?, limit: Int) async throws(CellStoreError) -> [EncodedEvent] {
        try await base.unpublishedEvents(confirmed: confirmed, limit: limit)
    }
    func events(
        after sequence: Int64, limit: Int
    ) async throws(CellStoreError) -> (events: [EncodedEvent], newest: Int64) {
        try await base.events(after: sequence, limit: limit)
    }
    func pruneEvents(before date: Date, limit: Int) async throws(CellStoreError) -> Int {
        try await base.pruneEvents(before: date, limit: limit)
    }
    func takeDuty(_ duty: CellDuty, owner: String, for duration: Duration) async throws(CellStoreError) -> Bool {
        try await base.takeDuty(duty, owner: owner, for: duration)
    }
    func releaseDuty(_ duty: CellDuty, owner: String) async throws(CellStoreError) {
        try await base.releaseDuty(duty, owner: owner)
    }
    func pulse() async throws(CellStoreError) -> CellPulse { try await base.pulse() }
    func listen(_ nudge: CellNudge, _ onNudge: @escaping @Sendable () -> Void) async throws(CellStoreError) {
        try await base.listen(nudge, onNudge)
    }
}

@Suite(.serialized, .timeLimit(.minutes(3))) struct CrashTests {
    struct Point: Sendable, CustomTestStringConvertible {
        let fatal: Int
        let moment: DyingStore.Moment
        /// The name of the conductor that goes on: the same is a restart, another a takeover.
        let successor: String
        var testDescription: String { "\(moment) write \(fatal), then \(successor)" }
    }

    /// A boot and a delete are four writes: claim, result, claim, result. A failed boot is three.
    static let points = (1...4).flatMap { fatal in
        DyingStore.Moment.allCases.flatMap { moment in
            ["c1", "c2"].map { Point(fatal: fatal, moment: moment, successor: $0) }
        }
    }

    /// Kills the conductor at the point, if it comes to it, and lets its successor go on.
    private func withCrash(
        _ point: Point, _ kind: StoreKind, writes: Int, _ body: @escaping @Sendable (LeafCell) async throws -> Void
    ) async throws {
        try await LeafCell.with(kind, conductors: []) { leaf in
            try await leaf.store.join("host-1")
            let dying = DyingStore(leaf.store, fatal: point.fatal, point.moment)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    try await withThrowingTaskGroup(of: Void.self) { inner in
                        inner.addTask { try await leaf.conductor("c1", over: dying).run() }
                        while !dying.isDead { try await ContinuousClock().sleep(for: .milliseconds(2)) }
                        inner.cancelAll()
                        try await inner.waitForAll()
                    }
                    // Another conductor waits for the leases of the dead one.
                    if point.successor != "c1" { try await Self.letLeasesRunOut(leaf) }
                    try await leaf.conductor(point.successor).run()
                }
                try await body(leaf)
                // What it wrote may be seen a moment before it is dead.
                if point.fatal <= writes { try await eventually("it died") { dying.isDead } }
                group.cancelAll()
            }
        }
    }

    private static func letLeasesRunOut(_ leaf: LeafCell) async throws {
        switch leaf.store {
        case is InMemoryCellStore: leaf.wallClock.advance(by: 61)
        // The database has a clock of its own.
        default: try await leaf.store.release(owner: "c1")
        }
    }

    @Test(arguments: points) func aBootAndADeleteGoOnAfterTheConductorDied(_ point: Point) async throws {
        try await bootAndDelete(point, .memory)
    }

    @Test(arguments: StoreKind.available.contains(.postgres) ? points : [])
    func aBootAndADeleteGoOnAfterTheConductorDiedOnPostgreSQL(_ point: Point) async throws {
        try await bootAndDelete(point, .postgres)
    }

    private func bootAndDelete(_ point: Point, _ kind: StoreKind) async throws {
        try await withCrash(point, kind, writes: 4) { leaf in
            let id = try await leaf.boot()
            _ = try await leaf.act(.delete, id)
            try await eventually("gone") { try await leaf.state(id)?.vm == .deleted }
            #expect(try await leaf.isCleared(id))
            try await eventually("told") { leaf.parent.news(of: id).count == 2 }
            let spawns = leaf.hosts[0].spawns
            #expect(Set(spawns.map(\.key)).count == 1)
        }
    }

    @Test(arguments: points) func aFailedBootIsUndoneAfterTheConductorDied(_ point: Point) async throws {
        try await withCrash(point, .memory, writes: 3) { leaf in
            leaf.hosts[0].obey { if case .spawn = $0.work { brokenSpawn } else { FakeAgent.obedient($0) } }
            let id = try await leaf.build(makeInstance())
            try await leaf.waitUntil(id, .error)
            #expect(try await leaf.isCleared(id))
            try await eventually("told") { leaf.parent.news(of: id).count == 1 }
            #expect(Set(leaf.hosts[0].destroys.map(\.key)).count == 1)
        }
    }

    @Test func aConductorThatStopsInGoodOrderLeavesItsSagasFree() async throws {
        try await LeafCell.with(conductors: []) { leaf in
            try await leaf.store.join("host-1")
            leaf.hosts[0].obey { _ in nil }
            let id = try await leaf.build(makeInstance())
            try await withThrowingTaskGroup(of: Void.self) { group in
                let service = try leaf.conductor("c1")
                let trigger = GracefulStop(service)
                group.addTask { try await trigger.run() }
                try await eventually("commanded") { !leaf.hosts[0].spawns.isEmpty }
                await trigger.stop()
                try await group.waitForAll()
            }
            #expect(try await leaf.store.claimed("c2").count == 1)
            #expect(try await leaf.state(id)?.task == .spawning)
        }
    }

    @Test func aBrokerThatIsAwayForAWhileCostsAPause() async throws {
        try await LeafCell.with { leaf in
            let first = try await leaf.boot()
            leaf.broker.setReachable(false)
            try await leaf.store.plan(CellScope(servers: [first]), now: leaf.wallClock.now()) {
                _ = $0.act(makeOrder(.stop, first))
            }
            leaf.wallClock.advance(by: 5)
            leaf.broker.setReachable(true)
            try await leaf.waitUntil(first, .stopped)
            try await eventually("told") { leaf.parent.news(of: first).count == 2 }
        }
    }
}
