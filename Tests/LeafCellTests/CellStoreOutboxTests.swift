import CellProtocol
import CloudModel
import FoundationEssentials
import PostgresClient
import Primitives
import ServerLifecycle
import Testing

/// The contract of ``CellStore``'s hosts, events and duties.
@Suite(.serialized, .timeLimit(.minutes(3))) struct CellStoreOutboxTests {
    private func emit(_ names: [HostName], _ store: any CellStore) async throws {
        let sightings = names.map { makeSighting($0, provider: ids.next(), inventory: makeInventory()) }
        _ = try await store.changeHosts(names) { HostPlan.sight(sightings, known: $0, cell: testCell) }
    }

    @Test(arguments: StoreKind.available) func eventsAreNumberedInOrderAndKeptUntilTheyArePublished(
        kind: StoreKind
    ) async throws {
        try await kind.with { store in
            #expect(try await store.unpublishedEvents(confirmed: nil, limit: 10).isEmpty)
            try await emit(["a", "b", "c"], store)
            #expect(try await store.events(after: 0, limit: 10).events.isEmpty)
            let first = try await store.unpublishedEvents(confirmed: nil, limit: 2)
            #expect(first.map(\.sequence) == [1, 2])
            #expect(try await store.unpublishedEvents(confirmed: nil, limit: 10).map(\.sequence) == [1, 2, 3])
            #expect(try await store.unpublishedEvents(confirmed: 2, limit: 10).map(\.sequence) == [3])
            #expect(try await store.unpublishedEvents(confirmed: 1, limit: 10).map(\.sequence) == [3])
            #expect(try await store.unpublishedEvents(confirmed: 3, limit: 10).isEmpty)
            let later = try await store.events(after: 1, limit: 1)
            #expect(later.events.map(\.sequence) == [2])
            #expect(later.newest == 3)
            let names = try await store.events(after: 0, limit: 10).events.map { event -> HostName in
                guard case .hostChanged(let host) = try event.decoded(of: testCell).event else { return HostName("?") }
                return host.name
            }
            #expect(names == ["a", "b", "c"])
        }
    }

    @Test(arguments: StoreKind.available) func numbersHaveNoGapsHoweverManyWriteAndPublish(
        kind: StoreKind
    ) async throws {
        try await kind.with { store in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<40 {
                    group.addTask { try await emit([HostName("host-\(number)")], store) }
                    group.addTask { _ = try await store.unpublishedEvents(confirmed: nil, limit: 3) }
                }
                try await group.waitForAll()
            }
            while try await store.events(after: 0, limit: 1).newest < 40 {
                _ = try await store.unpublishedEvents(confirmed: nil, limit: 7)
            }
            let all = try await store.events(after: 0, limit: 100)
            #expect(all.events.map(\.sequence) == Array(1...40))
            #expect(all.newest == 40)
        }
    }

    @Test(arguments: StoreKind.available) func onlyPublishedEventsAreForgotten(kind: StoreKind) async throws {
        try await kind.with { store in
            try await emit(["a", "b", "c"], store)
            _ = try await store.unpublishedEvents(confirmed: nil, limit: 10)
            _ = try await store.unpublishedEvents(confirmed: 2, limit: 10)
            #expect(try await store.pruneEvents(before: .distantPast, limit: 10) == 0)
            #expect(try await store.pruneEvents(before: .distantFuture, limit: 1) == 1)
            #expect(try await store.pruneEvents(before: .distantFuture, limit: 10) == 1)
            #expect(try await store.events(after: 0, limit: 10).events.map(\.sequence) == [3])
        }
    }

    // MARK: Hosts

    @Test(arguments: StoreKind.available) func aHostIsReadBackAsItWasWritten(kind: StoreKind) async throws {
        try await kind.with { store in
            let provider: ProviderID = ids.next()
            try await store.join("host-1", provider: provider)
            _ = try await store.changeHosts(["host-1"]) {
                HostPlan.set(
                    SetHostRequest(host: "host-1", isEnabled: false, reason: "disk"), known: $0, now: testEpoch + 1)
            }
            var expected = HostRecord(
                name: "host-1", id: provider, cell: testCell, availabilityZone: "zone-1", inventory: makeInventory(),
                seenAt: testEpoch)
            expected.isEnabled = false
            expected.disabledReason = "disk"
            expected.updatedAt = testEpoch + 1
            #expect(try await store.hosts() == [expected])
        }
    }

    @Test(arguments: StoreKind.available) func onlyWhatIsKnownAndUpAndTheSameIsTouched(kind: StoreKind) async throws {
        try await kind.with { store in
            let provider: ProviderID = ids.next()
            try await store.join("host-1", provider: provider)
            let other: ProviderID = ids.next()
            try await store.join("host-2", provider: other)
            let byProvider = try await store.changeHosts(["host-1"], providers: [other]) { known in
                HostDecision(records: [], events: [], result: Set(known.keys))
            }
            #expect(byProvider == ["host-1", "host-2"])
            _ = try await store.changeHosts(["host-2"]) {
                HostPlan.silence(since: .distantFuture, known: $0, now: testEpoch)
            }
            let touched = try await store.touchHosts([
                makeSighting("host-1", at: testEpoch + 5, provider: provider, inventory: nil),
                makeSighting("host-2", at: testEpoch + 5, provider: other, inventory: nil),
                makeSighting("host-3", at: testEpoch + 5, provider: provider, inventory: nil),
            ])
            #expect(touched == ["host-1"])
            #expect(try await store.touchHosts([makeSighting(provider: ids.next(), inventory: nil)]).isEmpty)
            #expect(try await store.silentHosts(since: testEpoch + 5).isEmpty)
            #expect(try await store.silentHosts(since: testEpoch + 6) == ["host-1"])
        }
    }

    // MARK: Duties

    @Test(arguments: StoreKind.available) func aDutyHasOneHolderUntilItIsGivenBackOrRunsOut(
        kind: StoreKind
    ) async throws {
        try await kind.with { store in
            #expect(try await store.takeDuty(.publisher, owner: "a", for: .seconds(60)))
            #expect(try await store.takeDuty(.publisher, owner: "a", for: .seconds(60)))
            #expect(try await !store.takeDuty(.publisher, owner: "b", for: .seconds(60)))
            #expect(try await store.takeDuty(.pruner, owner: "b", for: .seconds(60)))
            try await store.releaseDuty(.publisher, owner: "b")
            #expect(try await !store.takeDuty(.publisher, owner: "b", for: .seconds(60)))
            try await store.releaseDuty(.publisher, owner: "a")
            #expect(try await store.takeDuty(.publisher, owner: "b", for: .milliseconds(20)))
            try await eventually("taken over") {
                try await store.takeDuty(.publisher, owner: "a", for: .seconds(60))
            }
        }
    }

    @Test(arguments: StoreKind.available) func aPulseCountsWhatLives(kind: StoreKind) async throws {
        try await kind.with { store in
            try await store.join("host-1", "host-2")
            _ = try await store.changeHosts(["host-2"]) {
                HostPlan.silence(since: .distantFuture, known: $0, now: testEpoch)
            }
            _ = try await store.renew(SagaLease(owner: "a", duration: .seconds(9)), [:])
            _ = try await store.renew(SagaLease(owner: "b", duration: .seconds(9)), [:])
            try await store.release(owner: "b")
            _ = try await store.unpublishedEvents(confirmed: nil, limit: 2)
            #expect(
                try await store.pulse() == CellPulse(newestSequence: 2, conductorsUp: 1, hostsUp: 1, hosts: 2))
        }
    }

    /// One that renews seldom is not down in between.
    @Test(arguments: StoreKind.available) func aConductorIsUpWhileItsLeaseLasts(kind: StoreKind) async throws {
        let lives = [
            SagaLease(owner: "long", duration: .seconds(600)), SagaLease(owner: "short", duration: .seconds(9)),
        ]
        switch kind {
        case .memory:
            let clock = TestWallClock()
            let store = InMemoryCellStore(cell: testCell, wallClock: clock)
            for lease in lives { _ = try await store.renew(lease, [:]) }
            #expect(try await store.pulse().conductorsUp == 2)
            clock.advance(by: 120)
            #expect(try await store.pulse().conductorsUp == 1)
        case .postgres, .sharedPostgres:
            try await StoreKind.withPool(kind.names) { pool, store in
                for lease in lives { _ = try await store.renew(lease, [:]) }
                #expect(try await store.pulse().conductorsUp == 2)
                // As if it were two minutes later.
                try await pool.execute(
                    """
                    update cell.conductors
                    set seen_at = seen_at - interval '2 minutes', until = until - interval '2 minutes'
                    """)
                #expect(try await store.pulse().conductorsUp == 1)
            }
        }
    }
}
