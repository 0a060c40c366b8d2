import CellProtocol
import CloudModel
import FoundationEssentials
import MessageBus
import Primitives
import ServerLifecycle
import Testing

/// What must stay true is put right, and nothing is removed that is not proved to be ours and dead.
@Suite(.serialized, .timeLimit(.minutes(2))) struct ReconcilerTests {
    @Test func aGuestThatIsStartedOutsideIsStoppedAgainAndOneThatGoesOffIsShutOff() async throws {
        try await LeafCell.with { leaf in
            let id = try await leaf.boot()
            leaf.wallClock.advance(by: 1)
            leaf.hosts[0].put(id, .shutdown)
            try await leaf.waitUntil(id, .stopped)
            leaf.wallClock.advance(by: 1)
            leaf.hosts[0].put(id, .running)
            try await eventually("stopped again") { leaf.hosts[0].guests[id] == .shutdown }
            try await leaf.waitUntil(id, .stopped)
            let actions = try await leaf.call(ActionsRequest(id: id)).actions
            #expect(actions.map(\.action) == ["stop", "create"])
        }
    }

    @Test(arguments: StoreKind.available) func whatIsLeftOfADeletedServerIsRemovedAndStrangersStay(
        kind: StoreKind
    ) async throws {
        try await LeafCell.with(kind) { leaf in
            var instance = makeInstance()
            let port: PortID = ids.next()
            instance.interfaces = [
                NetworkInterface(
                    portID: port, networkID: ids.next(), networkName: "n", macAddress: "fa:16:3e:00:00:01",
                    addresses: [])
            ]
            let id = try await leaf.build(instance)
            try await leaf.waitUntil(id, .active)
            let alive = try await leaf.boot()
            _ = try await leaf.act(.delete, id)
            try await eventually("gone") { try await leaf.state(id)?.vm == .deleted }
            let destroys = Set(leaf.hosts[0].destroys.map(\.key))
            let stranger: ServerID = ids.next()
            let digits = String(port.hex.prefix(AgentHoldings.portDigits))
            leaf.hosts[0].hold(servers: [id, alive, stranger], ports: [digits, "0123456789a"])
            leaf.wallClock.advance(by: 130)
            try await eventually("destroyed") { !Set(leaf.hosts[0].destroys.map(\.key)).isSubset(of: destroys) }
            try await eventually("released") {
                leaf.hosts[0].commands.contains { $0.work == .release(ports: [port]) && $0.instanceID == id }
            }
            let commands = leaf.hosts[0].commands.dropFirst(2)
            #expect(Set(commands.map(\.instanceID)).isDisjoint(with: [stranger]))
            #expect(leaf.hosts[0].destroys.allSatisfy { $0.instanceID == id })
            #expect(leaf.hosts[0].guests[alive] == .running)
        }
    }

    @Test func whatABuildLeftThatWasGivenUpIsRemovedWhenItsHostSpeaks() async throws {
        try await LeafCell.with { leaf in
            leaf.hosts[0].obey { _ in nil }
            let id = try await leaf.build(makeInstance())
            try await eventually("commanded") { !leaf.hosts[0].spawns.isEmpty }
            let saga = try #require(try await leaf.store.sagas(SagaFilter()).first?.id)
            _ = try await leaf.call(SagaOrderRequest(id: saga, order: .abandon(reason: nil)), as: admin)
            leaf.hosts[0].obey(FakeAgent.obedient)
            leaf.hosts[0].put(id)
            leaf.wallClock.advance(by: 130)
            try await eventually("removed") { leaf.hosts[0].guests[id] == nil }
        }
    }

    @Test func aHostCanNotAskAboutWhatAnotherHas() async throws {
        try await LeafCell.with { leaf in
            let id = try await leaf.boot(on: "host-2")
            _ = try await leaf.act(.delete, id)
            try await eventually("gone") { try await leaf.state(id)?.vm == .deleted }
            leaf.wallClock.advance(by: 130)
            // A command that was sent again may still be on its way.
            let destroys = Set(leaf.hosts[1].destroys.map(\.key))
            let holdings = AgentHoldings(host: "host-2", sentAt: leaf.wallClock.now(), servers: [id], ports: [])
            try await leaf.hosts[0].report(holdings, kind: AgentHoldings.kind, route: AgentHoldings.route)
            _ = try await leaf.boot()
            #expect(Set(leaf.hosts[1].destroys.map(\.key)) == destroys)
        }
    }

    @Test(arguments: StoreKind.available) func aTaskThatNobodyIsAtIsPutRight(kind: StoreKind) async throws {
        try await LeafCell.with(kind) { leaf in
            let stuck = try await leaf.boot()
            let gone = try await leaf.boot()
            let now = leaf.wallClock.now()
            try await leaf.store.transact(CellScope(servers: [stuck, gone])) { snapshot in
                var changes = CellChanges()
                changes.servers = snapshot.servers
                changes.servers[stuck]?.instance.state.task = .poweringOff
                changes.servers[gone]?.instance.state.task = .deleting
                for id in [stuck, gone] { changes.servers[id]?.instance.updatedAt = now }
                return CellDecision(changes, ())
            }
            // What was begun a moment ago is left to those who are at it.
            let early = try await leaf.store.upkeep(before: now - 60)
            #expect(early.stranded.isEmpty)
            leaf.wallClock.advance(by: 70)
            try await leaf.waitUntil(stuck, .active)
            try await eventually("deleted") { try await leaf.state(gone)?.vm == .deleted }
            #expect(leaf.hosts[0].guests[gone] == nil)
        }
    }

    @Test(arguments: StoreKind.available) func oneLookSaysWhatWaitsForSomebody(kind: StoreKind) async throws {
        try await kind.with { store in
            try await store.join("host-1", "host-2")
            let old = try await store.admit(makeInstance())
            _ = try await store.admit(makeInstance(host: "host-2"), now: testEpoch + 100)
            var upkeep = try await store.upkeep(before: testEpoch + 50)
            #expect(upkeep.liveSagas == 2 && upkeep.parkedSagas == 0 && upkeep.oldestSaga == testEpoch)
            #expect(upkeep.orphanedSagas == 1 && upkeep.serversOnLostHosts.isEmpty && upkeep.stranded.isEmpty)
            #expect(try await store.claimed("a", limit: 1) == [old])
            _ = try await store.changeHosts(["host-2"]) {
                HostPlan.silence(since: .distantFuture, known: $0, now: testEpoch)
            }
            upkeep = try await store.upkeep(before: testEpoch + 50)
            #expect(upkeep.orphanedSagas == 0 && upkeep.serversOnLostHosts == ["host-2": 1])
        }
    }

    @Test(arguments: StoreKind.available) func aFailedBuildIsOverWhenNoSagaOfItIsOpen(kind: StoreKind) async throws {
        try await kind.with { store in
            try await store.join("host-1")
            let instance = makeInstance()
            let saga = try await store.admit(instance)
            try await store.plan(CellScope(sagas: [saga])) { _ = $0.resume(saga) }
            func isOver() async throws -> Bool? {
                try await store.placed(on: ["host-1"], or: []).first { $0.id == instance.id }?.isFailedBuild
            }
            #expect(try await isOver() == false)
            try await store.plan(CellScope(sagas: [saga])) {
                _ = $0.order(SagaOrderRequest(id: saga, order: .abandon(reason: nil)))
            }
            #expect(try await isOver() == true)
            #expect(try await store.ports(["0123456789a"]).isEmpty)
        }
    }
}
