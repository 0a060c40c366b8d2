import CloudModel
import FoundationEssentials
import Testing
@testable import Topology

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
        let old = DesiredState(try topology(seed &+ 1000), inputs: SampleWorld.inputs)
        let desired = DesiredState(try topology(seed), inputs: SampleWorld.inputs)
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
            let others = desired.resources.filter { resource in
                let found = world.things[resource.id]
                return !resource.attributes.allSatisfy { found?[$0.key] == $0.value }
            }
            #expect(others.map(\.id) == [], "seed \(seed)")
        }
    }

    @Test("it is the same for the same facts in whatever order they come", arguments: seeds)
    func isDeterministic(_ seed: UInt64) throws {
        var numbers = SeededNumbers(seed: seed)
        let desired = DesiredState(try topology(seed), inputs: SampleWorld.inputs)
        let old = DesiredState(try topology(seed &+ 1000), inputs: SampleWorld.inputs)
        let facts = SimulatedWorld(decayed: old, using: &numbers).facts
        let plan = Plan(desired: desired, observed: facts)
        for _ in 0..<2 {
            var shuffled = ObservedFacts()
            for id in facts.observations.ids.shuffled(using: &numbers) {
                shuffled.observations[id] = facts.observations[id]
            }
            #expect(shuffled == facts)
            #expect(Plan(desired: desired, observed: shuffled) == plan, "seed \(seed)")
        }
    }

    @Test("each action comes after those it depends on, and none is there twice", arguments: seeds)
    func order(_ seed: UInt64) throws {
        var numbers = SeededNumbers(seed: seed)
        let desired = DesiredState(try topology(seed), inputs: SampleWorld.inputs)
        let old = DesiredState(try topology(seed &+ 1000), inputs: SampleWorld.inputs)
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
        let desired = DesiredState(topology, inputs: SampleWorld.inputs)
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
        let desired = DesiredState(topology, inputs: SampleWorld.inputs)
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

/// A large cloud's plan is made another way; it must be the same plan.
@Suite("The plan of a large cloud")
struct LargePlanTests {
    private static let seeds: Range<UInt64> = 1..<41

    private static func topology(_ seed: UInt64) throws -> Topology {
        // More hosts in a range than the random files have by themselves, so that most cells get a template.
        let text = RandomTopology.text(seed: seed).replacing("-[1-3]", with: "-[1-9]").replacing(
            "-[1-2]", with: "-[01-12]")
        return try TopologyDocument.read(text, file: "seed-\(seed)").withLabAddresses()
    }

    @Test("is the plan that a small one's way makes", arguments: seeds)
    func isTheSame(_ seed: UInt64) throws {
        var numbers = SeededNumbers(seed: seed)
        let topology = try Self.topology(seed)
        var inputs = SampleWorld.inputs
        for host in topology.hosts { inputs.secrets[.broker(user: "host.\(host.name)")] = "digest-\(host.name)" }
        let small = DesiredState(topology, inputs: inputs)
        let large = DesiredState(topology, inputs: inputs, largeFrom: 0)
        #expect(small.resources == large.resources)
        let ids = small.resources.map { ($0.id, $0.id.description) }.sorted { $0.1 < $1.1 }.map(\.0)
        for decay in 0..<4 {
            var facts = ObservedFacts(allOf: small)
            // A few hosts decay, the others are as they should be.
            for id in ids where decay > 0 && numbers.chance(1) {
                facts.observations[id] = numbers.chance(50) ? .absent : .present(["altered": "yes"])
            }
            if decay == 2 {
                facts.observations[.init(.file, host: "c1-0-1", name: "/etc/cellwright/stray")] = .present([:])
            }
            if decay == 3, let host = topology.hosts.randomElement(using: &numbers) {
                facts.unreachable[host.name] = "ssh: timed out"
            }
            if decay == 1, let name = ProcessLayout(topology).secrets.randomElement(using: &numbers) {
                // A certificate near its end is wanted otherwise than it can be found.
                inputs.ending[name] = 3
            }
            let wanted = DesiredState(topology, inputs: inputs)
            let wantedLarge = DesiredState(topology, inputs: inputs, largeFrom: 0)
            let plan = Plan(desired: wanted, observed: facts)
            #expect(Plan(desired: wantedLarge, observed: facts) == plan, "seed \(seed), decay \(decay)")
            if decay == 0 { #expect(plan.isEmpty) }
        }
    }

    /// Everything is as it should be in three cells of hosts with dots in their names.
    private func clean(hosts: String, _ setting: String = "") throws -> (
        small: DesiredState, large: DesiredState, facts: ObservedFacts
    ) {
        var text = "apiVersion: cellwright/v1\nname: c\n\(setting)hosts: [control-1]\ncells:\n"
        for cell in 0..<3 { text += "  - name: c\(cell)\n    hosts: [\"c\(cell)-[\(hosts)].dc-1\"]\n" }
        let topology = try TopologyDocument.read(text, file: "t").withLabAddresses()
        var inputs = SampleWorld.inputs
        for host in topology.hosts {
            inputs.secrets[.broker(user: "host.\(host.name)")] = "digest-\(host.name)"
            inputs.secrets[.certificate("compute", host.name)] = "certificate-\(host.name)"
        }
        let small = DesiredState(topology, inputs: inputs)
        return (
            small, DesiredState(topology, inputs: inputs, largeFrom: 0), ObservedFacts(allOf: small)
        )
    }

    @Test(
        "leaves almost nothing to be written down when all is well",
        arguments: ["", "tls: off\n", "lab: {network: 10.80.0.0/16}\n"])
    func isCheap(_ setting: String) throws {
        let (small, large, facts) = try clean(hosts: "001-100", setting)
        let scope = PlanScope(large, facts)
        #expect(scope.resources.count < small.resources.count / 10)
        #expect(scope.unwanted(facts).isEmpty)
    }

    @Test("sees whatever is amiss with a host, wherever it is")
    func isThorough() throws {
        let (small, large, facts) = try clean(hosts: "1-5")
        for resource in small.resources where resource.id.host == "c1-4.dc-1" || resource.id.name.contains("c1-4") {
            var altered = facts
            altered.observations[resource.id] = .absent
            #expect(PlanScope(large, altered).resources.contains { $0.id == resource.id }, "\(resource.id)")
            for (key, value) in resource.attributes {
                let other = resource.attributes.merging([key: value + "x"]) { _, new in new }
                altered.observations[resource.id] = .present(other)
                #expect(PlanScope(large, altered).resources.contains { $0.id == resource.id }, "\(resource.id) \(key)")
            }
        }
        #expect(!PlanScope(large, facts).resources.contains { $0.id.host == "c1-4.dc-1" })
    }
}
