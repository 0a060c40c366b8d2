import CloudModel
import FoundationEssentials
import Testing
import Topology

/// What holds for every plan, tried on topologies and worlds that nobody thought of. A failure names its seed.
@Suite("Every plan")
struct PlanPropertyTests {
    private static let seeds: Range<UInt64> = 1..<41

    private func topology(_ seed: UInt64, existing: Topology? = nil) throws -> Topology {
        let known = Dictionary(
            (existing?.hosts ?? []).map { ($0.name, $0.reachableAt) }, uniquingKeysWith: { first, _ in first })
        return try TopologyDocument.read(RandomTopology.text(seed: seed), file: "seed-\(seed)")
            .withLabAddresses(existing: existing?.lab == nil ? [:] : known)
    }

    @Test("applied to any world it reaches what is wanted, and a second plan is empty", arguments: seeds)
    func converges(_ seed: UInt64) throws {
        var numbers = SeededNumbers(seed: seed)
        let old = try DesiredState(try topology(seed &+ 1000), inputs: SampleWorld.inputs)
        let desired = try DesiredState(try topology(seed), inputs: SampleWorld.inputs)
        // One world from nothing, one from a decayed cloud of this topology, one from a decayed other cloud.
        let worlds = [
            SimulatedWorld(), SimulatedWorld(decayed: desired, using: &numbers),
            SimulatedWorld(decayed: old, using: &numbers),
        ]
        for var world in worlds {
            let plan = Plan(desired: desired, observed: world.facts)
            let touched = world.apply(plan, desired: desired, using: &numbers)
            #expect(touched.isSubset(of: plan.actions.map(\.resource)), "seed \(seed)")
            let second = Plan(desired: desired, observed: world.facts)
            #expect(second.isEmpty, "seed \(seed): \(PlanText(second, cloud: "random").text)")
            for resource in desired.resources {
                let found = world.things[resource.id]
                #expect(resource.attributes.allSatisfy { found?[$0.key] == $0.value }, "seed \(seed): \(resource.id)")
            }
        }
    }

    @Test("it is the same for the same facts in whatever order they come", arguments: seeds)
    func isDeterministic(_ seed: UInt64) throws {
        var numbers = SeededNumbers(seed: seed)
        let desired = try DesiredState(try topology(seed), inputs: SampleWorld.inputs)
        let old = try DesiredState(try topology(seed &+ 1000), inputs: SampleWorld.inputs)
        let facts = SimulatedWorld(decayed: old, using: &numbers).facts
        let plan = Plan(desired: desired, observed: facts)
        for _ in 0..<2 {
            var shuffled = ObservedFacts()
            for (id, observation) in facts.observations.shuffled(using: &numbers) {
                shuffled.observations[id] = observation
            }
            #expect(Plan(desired: desired, observed: shuffled) == plan, "seed \(seed)")
        }
    }

    @Test("each action comes after those it depends on, and none is there twice", arguments: seeds)
    func order(_ seed: UInt64) throws {
        var numbers = SeededNumbers(seed: seed)
        let desired = try DesiredState(try topology(seed), inputs: SampleWorld.inputs)
        let old = try DesiredState(try topology(seed &+ 1000), inputs: SampleWorld.inputs)
        let plan = Plan(desired: desired, observed: SimulatedWorld(decayed: old, using: &numbers).facts)
        var seen: Set<String> = []
        for action in plan.actions {
            #expect(action.dependsOn.allSatisfy(seen.contains), "seed \(seed): \(action.id)")
            #expect(seen.insert(action.id).inserted, "seed \(seed): \(action.id)")
            #expect(
                !action.what.isEmpty && !action.why.isEmpty
                    && (action.host != nil || action.cell != nil || action.resource.isOfTheCloud))
        }
        #expect(Set(desired.resources.map(\.id)).count == desired.resources.count, "seed \(seed)")
    }

    @Test("hosts that cannot be reached get no action, and everything else is planned", arguments: seeds)
    func unreachable(_ seed: UInt64) throws {
        var numbers = SeededNumbers(seed: seed)
        let topology = try topology(seed)
        let desired = try DesiredState(topology, inputs: SampleWorld.inputs)
        var facts = SimulatedWorld(decayed: desired, using: &numbers).facts
        let lost = try #require(desired.resources.compactMap(\.id.host).randomElement(using: &numbers))
        let whole = Plan(desired: desired, observed: facts)
        facts.unreachable[lost] = "ssh: timed out"
        let partial = Plan(desired: desired, observed: facts)
        #expect(!partial.actions.contains { $0.host == lost }, "seed \(seed)")
        #expect(Set(partial.actions.map(\.id)).isSubset(of: whole.actions.map(\.id)), "seed \(seed)")
        #expect(partial.unknown.contains { $0.resource.host == lost }, "seed \(seed)")
    }

    @Test("saved, it holds in the same world and not in another", arguments: seeds)
    func saved(_ seed: UInt64) throws {
        var numbers = SeededNumbers(seed: seed)
        let topology = try topology(seed)
        let desired = try DesiredState(topology, inputs: SampleWorld.inputs)
        let facts = SimulatedWorld(decayed: desired, using: &numbers).facts
        let plan = Plan(desired: desired, observed: facts)
        let file = try PlanFile(
            plan, topology: topology, desired: desired, observed: facts, madeAt: .init(timeIntervalSince1970: 0),
            tool: "test")
        #expect(try file.actions(topology: topology, desired: desired, observed: facts) == plan.actions)
        guard let action = plan.actions.randomElement(using: &numbers) else { return }
        var moved = facts
        moved.observations[action.resource] = .present(["moved": "yes"])
        #expect(throws: PlanMoved.self, "seed \(seed)") {
            try file.actions(topology: topology, desired: desired, observed: moved)
        }
    }
}

extension Resource.ID {
    fileprivate var isOfTheCloud: Bool { [.project, .user, .flavor, .network, .image].contains(kind) }
}
