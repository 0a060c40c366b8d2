import CellProtocol
import CloudModel
import FoundationEssentials
import Primitives
import Testing

@testable import ServerLifecycle

@Suite struct HostPlanTests {
    let provider: ProviderID = ids.next()

    private func known(_ change: (inout HostRecord) -> Void = { _ in }) -> [HostName: HostRecord] {
        var record = HostRecord(
            name: "host-1", id: provider, cell: testCell, availabilityZone: "zone-1", inventory: makeInventory(),
            seenAt: testEpoch)
        change(&record)
        return ["host-1": record]
    }

    @Test func aNewHostJoinsWhenItSaysWhatItHas() {
        let silent = HostPlan.sight([makeSighting(provider: provider, inventory: nil)], known: [:], cell: testCell)
        #expect(silent.records.isEmpty && silent.events.isEmpty)
        let decision = HostPlan.sight(
            [makeSighting(provider: provider, inventory: makeInventory())], known: [:], cell: testCell)
        #expect(decision.records.map(\.name) == ["host-1"])
        #expect(decision.events == [.hostChanged(decision.records[0])])
        #expect(decision.result.woken == ["host-1"])
    }

    @Test func aHostThatOnlyLivesIsNoNews() {
        let decision = HostPlan.sight(
            [makeSighting(at: testEpoch + 5, provider: provider, inventory: makeInventory())], known: known(),
            cell: testCell)
        #expect(decision.events.isEmpty)
        #expect(decision.records.first?.lastSeenAt == testEpoch + 5)
    }

    @Test func aHostThatComesBackOrChangedIsNews() {
        let back = HostPlan.sight(
            [makeSighting(provider: provider, inventory: nil)], known: known { $0.isUp = false }, cell: testCell)
        #expect(back.result.woken == ["host-1"])
        #expect(back.events.count == 1)
        let grown = HostPlan.sight(
            [makeSighting(provider: provider, inventory: makeInventory(vcpus: 16))], known: known(), cell: testCell)
        #expect(grown.result.woken.isEmpty)
        #expect(grown.records.first?.inventory.vcpus == 16)
        #expect(grown.events.count == 1)
    }

    @Test func aHostThatClaimsAnothersProviderIsNotListenedTo() {
        let impostor = makeSighting("host-2", provider: provider, inventory: makeInventory())
        let decision = HostPlan.sight([impostor], known: known(), cell: testCell)
        #expect(decision.records.isEmpty && decision.events.isEmpty)
        #expect(decision.result.impostors == ["host-2"])
        let both = HostPlan.sight(
            [makeSighting(provider: provider, inventory: makeInventory()), impostor], known: [:], cell: testCell)
        #expect(both.records.map(\.name) == ["host-1"])
    }

    @Test func aSilentHostGoesDownOnce() {
        let bound = testEpoch + 1
        let down = HostPlan.silence(since: bound, known: known(), now: bound)
        #expect(down.result == ["host-1"])
        #expect(down.records.first?.isUp == false)
        #expect(down.events.count == 1)
        #expect(HostPlan.silence(since: bound, known: known { $0.isUp = false }, now: bound).events.isEmpty)
        #expect(HostPlan.silence(since: testEpoch, known: known(), now: bound).events.isEmpty)
    }

    @Test func anOperatorDisablesAndEnables() {
        let off = HostPlan.set(
            SetHostRequest(host: "host-1", isEnabled: false, reason: "disk"), known: known(), now: testEpoch)
        #expect(off.result?.isEnabled == false)
        #expect(off.result?.disabledReason == "disk")
        #expect(off.events.count == 1)
        let same = HostPlan.set(
            SetHostRequest(host: "host-1", isEnabled: true, reason: nil), known: known(), now: testEpoch)
        #expect(same.result?.isEnabled == true)
        #expect(same.events.isEmpty)
        let none = HostPlan.set(
            SetHostRequest(host: "nowhere", isEnabled: true, reason: nil), known: [:], now: testEpoch)
        #expect(none.result == nil)
    }
}

@Suite struct GuestComparisonTests {
    private func placed(
        _ id: ServerID, host: HostName = "host-1", vm: VMState = .active, task: TaskState? = nil,
        power: PowerState = .running
    ) -> PlacedServer {
        PlacedServer(
            id: id, host: host, state: ServerState(vm: vm, task: task, power: power), epoch: 1, updatedAt: testEpoch)
    }

    private func compare(
        _ guests: [GuestReport], _ placed: [PlacedServer], after seconds: TimeInterval = 1000
    ) -> GuestComparison {
        GuestComparison(host: "host-1", guests: guests, sentAt: testEpoch + seconds, placed: placed)
    }

    @Test func agreementIsNothing() {
        let id: ServerID = ids.next()
        let comparison = compare([GuestReport(id: id, power: .running)], [placed(id)])
        #expect(comparison.differences.isEmpty)
    }

    @Test func anotherPowerIsADifferenceUnlessSomethingIsBeingDone() {
        let id: ServerID = ids.next()
        let off = GuestReport(id: id, power: .shutdown)
        #expect(compare([off], [placed(id)]).differences == [off])
        #expect(compare([off], [placed(id, task: .rebooting)]).differences.isEmpty)
    }

    @Test func aServerThatItsHostDoesNotKnowIsOffButNotAtOnce() {
        let id: ServerID = ids.next()
        #expect(compare([], [placed(id)]).differences == [GuestReport(id: id, power: .shutdown)])
        #expect(compare([], [placed(id)], after: 30).differences.isEmpty)
        #expect(compare([], [placed(id, vm: .building, task: .spawning)]).differences.isEmpty)
        #expect(compare([], [placed(id, host: "host-2")]).differences.isEmpty)
    }

    private func leftovers(
        _ servers: [ServerID], _ placed: [PlacedServer], after seconds: TimeInterval = 1000
    ) -> LeftoverPlan {
        LeftoverPlan(host: "host-1", servers: servers, sentAt: testEpoch + seconds, placed: placed)
    }

    @Test func whatShouldBeGoneIsRemovedButNotAtOnce() {
        let id: ServerID = ids.next()
        #expect(leftovers([id], [placed(id, vm: .deleted)]).removals.map(\.work) == [.destroy])
        #expect(leftovers([id], [placed(id, host: "host-2")]).removals.count == 1)
        #expect(leftovers([id], [placed(id, vm: .deleted)], after: 60).removals.isEmpty)
        #expect(leftovers([id], [placed(id), placed(ids.next(), vm: .deleted)]).removals.isEmpty)
        // Each attempt has a key of its own: the agent answers a known one from memory.
        let keys = [1000, 1060].map { leftovers([id], [placed(id, vm: .deleted)], after: $0).removals.map(\.key) }
        #expect(keys[0] != keys[1])
    }

    @Test func whatABuildLeftThatFailedAndIsOverIsRemoved() {
        let id: ServerID = ids.next()
        var failed = placed(id, vm: .error, power: .noState)
        #expect(leftovers([id], [failed]).removals.isEmpty)
        failed.isFailedBuild = true
        #expect(leftovers([id], [failed]).removals.map(\.work) == [.destroy])
    }

    @Test func whatTheCellDoesNotKnowStays() {
        let id: ServerID = ids.next()
        var plan = leftovers([id], [])
        plan.add(ports: ["0123456789a"], on: "host-1", sentAt: testEpoch + 1000, owners: [:])
        #expect(plan.removals.isEmpty)
        #expect(plan.unknownServers == [id] && plan.unknownPorts == ["0123456789a"])
    }

    @Test func portsOfDeadServersAreReleasedAndThoseOfOthersAreNot() {
        let (dead, alive): (ServerID, ServerID) = (ids.next(), ids.next())
        let ports: [PortID] = [ids.next(), ids.next()]
        var plan = leftovers([], [])
        plan.add(
            ports: ["a", "b"], on: "host-1", sentAt: testEpoch + 1000,
            owners: [
                "a": PlacedPort(port: ports[0], server: placed(dead, vm: .deleted)),
                "b": PlacedPort(port: ports[1], server: placed(alive)),
            ])
        #expect(plan.removals.map(\.work) == [.release(ports: [ports[0]])])
        #expect(plan.removals.map(\.instanceID) == [dead])
    }

    @Test func whatAHostSeesOfItsGuestsIsTakenWhileNothingIsBeingDone() throws {
        var world = World()
        let id = try world.boot()
        let off = GuestReport(id: id, power: .shutdown)
        let now = world.now
        #expect(world.plan { $0.see(off, at: now, from: "host-2", sagaID: ids.next()) } == false)
        #expect(try world.instance(id).state.vm == .active)
        #expect(world.plan { $0.see(off, at: testEpoch - 10, from: "host-1", sagaID: ids.next()) } == true)
        #expect(try world.instance(id).state.vm == .active)
        #expect(world.plan { $0.see(off, at: now, from: "host-1", sagaID: ids.next()) } == true)
        #expect(try world.instance(id).state.vm == .stopped)
    }

    @Test func aGuestThatWasStartedOutsideIsStoppedAgain() throws {
        var world = World()
        let id = try world.boot()
        let stop: SagaID = ids.next()
        _ = world.plan { $0.act(makeOrder(.stop, id, sagaID: stop)) }
        world.report(try #require(try world.resume(stop)), .succeeded(power: .shutdown))
        let on = GuestReport(id: id, power: .running)
        let (now, saga): (Date, SagaID) = (world.now, ids.next())
        let mended = world.plan { plan in
            _ = plan.see(on, at: now, from: "host-1", sagaID: saga)
            return plan.mended
        }
        #expect(mended == [id: .startedOutside])
        #expect(try world.instance(id).state == ServerState(vm: .stopped, task: .poweringOff, power: .running))
        #expect(world.actions.last?.action == "stop" && world.actions.last?.sagaID == saga)
        #expect(world.actions.last?.projectID == "project")
        let pursuit = try #require(try world.resume(saga))
        #expect(pursuit.command.work == .stop(graceSeconds: ServerSaga.graceSeconds))
        // Seen again while it is being stopped.
        let later = world.now
        #expect(world.plan { $0.see(on, at: later, from: "host-1", sagaID: ids.next()) } == true)
        #expect(world.live(id).map(\.id) == [saga])
        world.report(pursuit, .succeeded(power: .shutdown))
        #expect(try world.instance(id).state == ServerState(vm: .stopped, task: nil, power: .shutdown))
    }

    @Test func whatIsPutRightIsTold() throws {
        var world = World()
        let id = try world.boot()
        let now = world.now
        let mended = world.plan { plan in
            _ = plan.see(GuestReport(id: id, power: .crashed), at: now, from: "host-1", sagaID: ids.next())
            return plan.mended
        }
        #expect(mended == [id: .stoppedByItself])
        #expect(try world.instance(id).state == ServerState(vm: .stopped, task: nil, power: .crashed))
    }

    @Test func aTaskWithoutASagaIsPutRight() throws {
        var world = World()
        for (task, expected) in [(TaskState.poweringOff, ServerState(vm: .active, task: nil, power: .running))] {
            let id = try world.boot()
            world.snapshot.servers[id]?.instance.state.task = task
            #expect(world.plan { $0.mendTask(of: id, sagaID: ids.next()) } == .strandedTask)
            #expect(try world.instance(id).state == expected)
            #expect(world.plan { $0.mendTask(of: id, sagaID: ids.next()) } == nil)
        }
        let gone = try world.boot()
        world.snapshot.servers[gone]?.instance.state.task = .deleting
        let saga: SagaID = ids.next()
        #expect(world.plan { $0.mendTask(of: gone, sagaID: saga) } == .strandedTask)
        #expect(world.live(gone).map(\.id) == [saga])
        #expect(world.plan { $0.mendTask(of: gone, sagaID: ids.next()) } == nil)
        let (building, boot) = try world.admit()
        #expect(world.plan { $0.mendTask(of: building, sagaID: ids.next()) } == nil)
        world.snapshot.sagas[boot] = nil
        #expect(world.plan { $0.mendTask(of: building, sagaID: ids.next()) } == .strandedTask)
        #expect(try world.instance(building).state.vm == .error)
        #expect(
            world.events.last
                == .buildFailed(
                    BuildFailure(id: building, epoch: 1, host: "host-1", reason: "The operation was lost.")))
    }
}
