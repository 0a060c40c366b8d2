import CellProtocol
import CloudModel
import FoundationEssentials
import MessageBus
import Primitives
import ServerLifecycle
import Testing

/// Boots, actions and deletes through a whole leaf.
@Suite(.serialized, .timeLimit(.minutes(2))) struct ConductorTests {
    @Test(arguments: StoreKind.available) func aServerIsBuiltStoppedStartedRebootedAndDeleted(
        kind: StoreKind
    ) async throws {
        try await LeafCell.with(kind) { leaf in
            let id = try await leaf.boot()
            let agent = leaf.hosts[0]
            #expect(Set(agent.spawns.map(\.key)).count == 1)
            guard case .spawn(let guest)? = agent.spawns.first?.work else {
                Issue.record("no spawn")
                return
            }
            #expect(guest.publicKey == "ssh-ed25519 AAAA")
            for (action, vm) in [
                (ServerAction.stop, VMState.stopped), (.start, .active), (.reboot(hard: false), .active),
                (.reboot(hard: true), .active),
            ] {
                guard case .accepted = try await leaf.act(action, id) else {
                    Issue.record("\(action) refused")
                    return
                }
                try await leaf.waitUntil(id, vm)
            }
            guard case .accepted = try await leaf.act(.delete, id) else {
                Issue.record("delete refused")
                return
            }
            try await eventually("gone") { try await leaf.state(id)?.vm == .deleted }
            #expect(try await leaf.isCleared(id))
            let actions = try await leaf.store.actions(of: id, limit: 10)
            #expect(actions.map(\.action) == ["delete", "reboot", "reboot", "start", "stop", "create"])
            #expect(actions.allSatisfy { $0.finishedAt != nil && $0.message == nil })
            // A reboot shows in the status, so its beginning is news too.
            try await eventually("told") { leaf.parent.news(of: id).count == 8 }
            guard case .instanceDeleted = leaf.parent.news(of: id).last else {
                Issue.record("not told")
                return
            }
        }
    }

    @Test(arguments: StoreKind.available) func aBuildThatFailsIsUndoneToldAndMayBeRepeatedElsewhere(
        kind: StoreKind
    ) async throws {
        try await LeafCell.with(kind) { leaf in
            leaf.hosts[0].obey { command in
                if case .spawn = command.work { brokenSpawn } else { FakeAgent.obedient(command) }
            }
            let id = try await leaf.build(makeInstance())
            try await eventually("told") {
                leaf.parent.news(of: id) == [
                    .buildFailed(BuildFailure(id: id, epoch: 1, host: "host-1", reason: "No disk space."))
                ]
            }
            // One attempt, however often it was sent.
            #expect(Set(leaf.hosts[0].destroys.map(\.key)).count == 1)
            #expect(try await leaf.state(id)?.vm == .error)
            #expect(try await leaf.isCleared(id))
            _ = try await leaf.build(makeInstance(id, host: "host-2", epoch: 2))
            try await leaf.waitUntil(id, .active)
            #expect(leaf.hosts[1].guests[id] == .running)
        }
    }

    @Test func anAnswerThatComesManyTimesIsTakenOnce() async throws {
        try await LeafCell.with { leaf in
            leaf.hosts[0].stutter(5)
            let id = try await leaf.boot()
            let version = try await leaf.stored(id)?.instance.version
            for spawn in leaf.hosts[0].spawns { try await leaf.hosts[0].answer(spawn, .succeeded(power: .running)) }
            _ = try await leaf.boot()
            #expect(try await leaf.stored(id)?.instance.version == version)
            try await eventually("told once") { leaf.parent.news(of: id).count == 1 }
        }
    }

    @Test func aCommandWithoutAnswerIsSentAgain() async throws {
        try await LeafCell.with { leaf in
            let attempts = Counter()
            leaf.hosts[0].obey { command in
                attempts.add()
                return attempts.value < 3 ? nil : FakeAgent.obedient(command)
            }
            let id = try await leaf.boot()
            #expect(Set(leaf.hosts[0].spawns.filter { $0.instanceID == id }.map(\.key)).count == 1)
        }
    }

    @Test func aReportFromAnotherHostIsRefused() async throws {
        try await LeafCell.with { leaf in
            leaf.hosts[0].obey { _ in nil }
            let id = try await leaf.build(makeInstance())
            try await eventually("commanded") { !leaf.hosts[0].spawns.isEmpty }
            let spawn = try #require(leaf.hosts[0].spawns.first)
            try await leaf.hosts[1].answer(spawn, .succeeded(power: .running))
            try await leaf.hosts[1].answer(spawn, brokenSpawn)
            // What comes later is handled later, so the refused ones have been seen when this one is.
            _ = try await leaf.boot(on: "host-2")
            #expect(try await leaf.state(id)?.vm == .building)
            try await leaf.hosts[0].answer(spawn, .succeeded(power: .running))
            try await leaf.waitUntil(id, .active)
        }
    }

    @Test func aBuildThatTakesTooLongFailsAndItsLateGuestIsRemoved() async throws {
        try await LeafCell.with { leaf in
            leaf.hosts[0].obey { command in
                if case .spawn = command.work { nil } else { FakeAgent.obedient(command) }
            }
            let id = try await leaf.build(makeInstance())
            try await eventually("commanded") { !leaf.hosts[0].spawns.isEmpty }
            let spawn = try #require(leaf.hosts[0].spawns.first)
            leaf.wallClock.advance(by: 601)
            try await eventually("told") { leaf.parent.news(of: id).count == 1 }
            // One attempt, however often it was sent.
            #expect(Set(leaf.hosts[0].destroys.map(\.key)).count == 1)
            leaf.hosts[0].put(id)
            try await leaf.hosts[0].answer(spawn, .succeeded(power: .running))
            try await eventually("removed") { leaf.hosts[0].guests[id] == nil }
        }
    }

    @Test func aGuestThatChangesByItselfIsSeen() async throws {
        try await LeafCell.with { leaf in
            let id = try await leaf.boot()
            let report = GuestLifecycleReport(
                guest: GuestReport(id: id, power: .shutdown), seenAt: leaf.wallClock.now() + 1)
            try await leaf.hosts[1].report(report, kind: GuestLifecycleReport.kind, route: "lifecycle")
            _ = try await leaf.boot(on: "host-2")
            #expect(try await leaf.state(id)?.vm == .active)
            leaf.hosts[0].put(id, .shutdown)
            try await leaf.hosts[0].report(report, kind: GuestLifecycleReport.kind, route: "lifecycle")
            try await leaf.waitUntil(id, .stopped)
        }
    }

    @Test func aLeftoverGuestIsRemovedAndAStrangerStays() async throws {
        try await LeafCell.with { leaf in
            let id = try await leaf.boot()
            _ = try await leaf.act(.delete, id)
            try await eventually("gone") { try await leaf.state(id)?.vm == .deleted }
            let stranger: ServerID = ids.next()
            leaf.hosts[0].put(id)
            leaf.hosts[0].put(stranger)
            leaf.wallClock.advance(by: 130)
            try await eventually("removed") { leaf.hosts[0].guests[id] == nil }
            #expect(leaf.hosts[0].guests[stranger] == .running)
        }
    }

    @Test(arguments: StoreKind.available) func conductorsShareTheWork(kind: StoreKind) async throws {
        try await LeafCell.with(kind, conductors: ["c1", "c2", "c3"]) { leaf in
            let instances = (0..<30).map { makeInstance(host: $0.isMultiple(of: 2) ? "host-1" : "host-2") }
            let reply = try await leaf.call(BuildRequest(builds: instances.map { makeBuild($0) }))
            #expect(reply.accepted.count == 30)
            for instance in instances { try await leaf.waitUntil(instance.id, .active) }
            for instance in instances {
                let spawns = leaf.hosts.flatMap(\.spawns).filter { $0.instanceID == instance.id }
                #expect(Set(spawns.map(\.key)).count == 1)
            }
            try await eventually("all told") { instances.allSatisfy { leaf.parent.news(of: $0.id).count == 1 } }
        }
    }

    // MARK: Hosts

    @Test func hostsJoinFallSilentAndComeBack() async throws {
        try await LeafCell.with { leaf in
            try await leaf.takeDown(leaf.hosts[0])
            leaf.hosts[0].fallSilent(false)
            try await leaf.hostsAreUp()
            try await eventually("told") {
                let news = leaf.parent.events.compactMap { event in
                    if case .hostChanged(let host) = event, host.name == "host-1" { host.isUp } else { nil as Bool? }
                }
                return news == [true, false, true]
            }
        }
    }

    @Test func aHeartbeatInAnothersNameIsRefused() async throws {
        try await LeafCell.with { leaf in
            let heartbeat = AgentHeartbeat(
                host: "host-9", providerID: ids.next(), availabilityZone: "zone-1", sentAt: leaf.wallClock.now(),
                inventory: makeInventory(), guests: [])
            try await leaf.hosts[0].report(heartbeat, kind: AgentHeartbeat.kind, route: "heartbeat")
            _ = try await leaf.boot()
            #expect(try await leaf.store.hosts().map(\.name) == ["host-1", "host-2"])
        }
    }

    @Test func aNewHostGetsItsQueue() async throws {
        try await LeafCell.with { leaf in
            let agent = FakeAgent(
                "host-3.example", bus: try leaf.broker.connect(.host("host-1")), wallClock: leaf.wallClock)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try? await agent.run() }
                try await eventually("joined") { try await leaf.store.hosts().count == 3 }
                _ = try await leaf.boot(on: "host-3.example")
                group.cancelAll()
            }
        }
    }

    @Test func aDeleteWaitsForItsHost() async throws {
        try await LeafCell.with { leaf in
            let id = try await leaf.boot()
            try await leaf.takeDown(leaf.hosts[0])
            _ = try await leaf.act(.delete, id)
            leaf.wallClock.advance(by: 3600)
            _ = try await leaf.boot(on: "host-2")
            #expect(try await leaf.state(id)?.task == .deleting)
            leaf.hosts[0].fallSilent(false)
            try await eventually("gone") { try await leaf.state(id)?.vm == .deleted }
            #expect(try await leaf.isCleared(id))
        }
    }

    @Test func aFailedBuildOnAHostThatWentDownIsToldBeforeItIsUndone() async throws {
        try await LeafCell.with { leaf in
            leaf.hosts[0].obey { command in
                if case .spawn = command.work { nil } else { FakeAgent.obedient(command) }
            }
            let id = try await leaf.build(makeInstance())
            try await eventually("commanded") { !leaf.hosts[0].spawns.isEmpty }
            leaf.hosts[0].fallSilent(true)
            leaf.wallClock.advance(by: 601)
            try await eventually("undoing") {
                let saga = try await leaf.store.snapshot(CellScope(servers: [id])).liveSagas(of: id).first
                return saga?.log.count == 3
            }
            #expect(leaf.parent.news(of: id).isEmpty)
            leaf.wallClock.advance(by: 61)
            try await eventually("told") { leaf.parent.news(of: id).count == 1 }
            _ = try await leaf.build(makeInstance(id, host: "host-2", epoch: 2))
            try await leaf.waitUntil(id, .active)
            leaf.hosts[0].put(id)
            leaf.hosts[0].fallSilent(false)
            try await eventually("undone") { leaf.hosts[0].guests[id] == nil }
            #expect(try await leaf.state(id)?.vm == .active)
            #expect(leaf.hosts[1].guests[id] == .running)
        }
    }
}
