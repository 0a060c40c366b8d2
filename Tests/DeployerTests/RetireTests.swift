import CloudModel
import FoundationEssentials
import Testing
import Topology

@testable import Deployer

/// The end of a cell, in a cloud that is facts alone.
@Suite struct RetireTests {
    private let full: DesiredState
    private let without: DesiredState

    init() throws {
        let topology = try SimulatedCloud.grown()
        let west = try #require(CellPath("/west"))
        full = DesiredState(topology, inputs: SimulatedCloud.inputs)
        without = DesiredState(topology.removing(cells: [west]), inputs: SimulatedCloud.inputs)
    }

    @Test func aCellThatStandsIsAllLeft() {
        let left = Deployment.leftovers(full: full, without: without, facts: SimulatedCloud.facts(allOf: full))
        let kinds = Set(left.map(\.kind))
        #expect(
            kinds.isSuperset(of: [
                .database, .databaseRole, .brokerVhost, .brokerUser, .cellMapping, .unit, .file, .hostQueue,
            ]))
        #expect(left.allSatisfy { $0.description.contains("west") })
    }

    @Test func whereverItIsCutOffARetirementGoesOnAndLeavesNothing() throws {
        let first = Deployment.undoing(from: full, to: without, facts: SimulatedCloud.facts(allOf: full))
        #expect(!first.isEmpty)
        for cut in 0...first.count {
            let world = SimulatedCloud(without, present: full)
            perform(first, in: world, atMost: cut)
            perform(Deployment.undoing(from: full, to: without, facts: world.observed), in: world)
            #expect(Deployment.leftovers(full: full, without: without, facts: world.observed).isEmpty, "cut at \(cut)")
            let mending = Plan(desired: without, observed: world.observed).actions.filter { $0.specification != nil }
            #expect(mending.isEmpty, "cut at \(cut)")
        }
    }

    @Test func aFileOfDebiansThatIsBackIsNotLeft() throws {
        var facts = SimulatedCloud.facts(allOf: without)
        let file = try #require(
            full.resources.first { $0.id.host == "west-1" && $0.id.name == "/etc/libvirt/qemu.conf" })
        facts.observations[file.id] = .present(["content": "Debian's"])
        #expect(Deployment.leftovers(full: full, without: without, facts: facts).isEmpty)
        facts.observations[file.id] = .present(file.attributes)
        #expect(Deployment.leftovers(full: full, without: without, facts: facts) == [file.id])
    }

    @Test func aHostThatCouldNotBeLookedAtIsLeft() {
        var facts = SimulatedCloud.facts(allOf: without)
        facts.unreachable["west-2"] = "no route"
        let left = Deployment.leftovers(full: full, without: without, facts: facts)
        #expect(!left.isEmpty && left.allSatisfy { $0.host == "west-2" })
        let failure = RetirementFailure(
            cell: .root, failures: [], left: (1...12).map { "thing \($0)" })
        #expect(failure.description.contains("thing 10 and 2 more"))
    }

    @Test func whatWasAppliedIsRememberedAndACellForgotten() throws {
        let folder = try TemporaryFolder()
        let topology = try SimulatedCloud.grown()
        let settings = DeploymentSettings(
            topology: topology, topologyFolder: folder.path, stateFolder: folder.path, binariesFolder: "/",
            environment: [:])
        #expect(try settings.appliedTopology() == nil)
        try Deployment.remember(topology, at: settings.appliedPath)
        #expect(try settings.appliedTopology() == topology)
        let west = try #require(CellPath("/west"))
        try Deployment.remember(topology.removing(cells: [west]), at: settings.appliedPath)
        #expect(try settings.appliedTopology()?.cell(west) == nil)
        #expect(try settings.appliedTopology()?.hosts(onlyOf: [west]) == [])
    }

    /// In an order that the dependencies allow.
    private func perform(_ actions: [PlanAction], in world: SimulatedCloud, atMost limit: Int = Int.max) {
        var graph = ActionGraph(actions)
        var done = 0
        while !graph.isFinished {
            for action in graph.start() {
                if done < limit { world.perform(action) }
                done += 1
                graph.finish(action.id, .succeeded)
            }
        }
    }
}
