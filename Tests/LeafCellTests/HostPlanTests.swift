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
        #expect(comparison.differences.isEmpty && comparison.leftovers.isEmpty && comparison.unknown == 0)
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

    @Test func aGuestThatShouldBeGoneIsRemovedButNotAtOnce() {
        let id: ServerID = ids.next()
        let guest = GuestReport(id: id, power: .running)
        #expect(compare([guest], [placed(id, vm: .deleted)]).leftovers.map(\.work) == [.destroy])
        #expect(compare([guest], [placed(id, host: "host-2")]).leftovers.count == 1)
        #expect(compare([guest], [placed(id, vm: .deleted)], after: 60).leftovers.isEmpty)
        // Each attempt has a key of its own: the agent answers a known one from memory.
        let keys = [1000, 1060].map { compare([guest], [placed(id, vm: .deleted)], after: $0).leftovers.map(\.key) }
        #expect(keys[0] != keys[1])
    }

    @Test func aGuestThatTheCellDoesNotKnowStays() {
        let comparison = compare([GuestReport(id: ids.next(), power: .running)], [])
        #expect(comparison.leftovers.isEmpty)
        #expect(comparison.unknown == 1)
    }

    @Test func whatAHostSeesOfItsGuestsIsTakenWhileNothingIsBeingDone() throws {
        var world = World()
        let id = try world.boot()
        let off = GuestReport(id: id, power: .shutdown)
        let now = world.now
        #expect(world.plan { $0.see(off, at: now, from: "host-2") } == false)
        #expect(try world.instance(id).state.vm == .active)
        #expect(world.plan { $0.see(off, at: testEpoch - 10, from: "host-1") } == true)
        #expect(try world.instance(id).state.vm == .active)
        #expect(world.plan { $0.see(off, at: now, from: "host-1") } == true)
        #expect(try world.instance(id).state.vm == .stopped)
    }
}
