import CloudModel
import FoundationEssentials
import Testing
import Topology

/// The world as a plan leaves it: every resource found just as it is wanted.
extension ObservedFacts {
    init(allOf desired: DesiredState) {
        self.init(
            observations: Dictionary(
                desired.resources.map { ($0.id, Observation.present($0.attributes)) },
                uniquingKeysWith: { first, _ in first }))
    }
}

@Suite("Plans")
struct PlanTests {
    static let inputs = DesiredState.Inputs(
        binaries: [
            "cellwright-api": "a1", "cellwright-supervisor": "b1", "cellwright-conductor": "c1",
            "cellwright-compute": "d1",
        ], secrets: [:])

    private let sample: Topology

    init() throws {
        sample = try TopologyDocument.read(try RepositoryFiles.text("topology.yaml"), file: "topology.yaml")
            .withLabAddresses()
    }

    /// The sample with its YAML changed, in a world as the sample left it.
    private func plan(replacing old: String, with new: String) throws -> Plan {
        let text = try RepositoryFiles.text("topology.yaml")
        #expect(text.contains(old))
        let known = Dictionary(uniqueKeysWithValues: sample.hosts.map { ($0.name, $0.reachableAt) })
        let edited = try TopologyDocument.read(text.replacing(old, with: new), file: "t").withLabAddresses(
            existing: known)
        return Plan(
            desired: try DesiredState(edited, inputs: Self.inputs),
            observed: ObservedFacts(allOf: try DesiredState(sample, inputs: Self.inputs)))
    }

    @Test("a new cloud")
    func new() throws {
        let plan = Plan(desired: try DesiredState(sample, inputs: Self.inputs), observed: ObservedFacts())
        try RepositoryFiles.expectGolden(PlanText(plan, cloud: sample.name).text, "Tests/Golden/plan-new.txt")
    }

    @Test("applied, nothing is left to do")
    func empty() throws {
        let desired = try DesiredState(sample, inputs: Self.inputs)
        let plan = Plan(desired: desired, observed: ObservedFacts(allOf: desired))
        #expect(plan.isEmpty)
        #expect(PlanText(plan, cloud: "sample").text == "No change: cloud sample is as the topology says.\n")
    }

    @Test("a third cell with two hosts restarts nothing that exists")
    func addCell() throws {
        let plan = try plan(
            replacing: "bootstrap:\n", with: "  - name: west\n    hosts: [\"west-[1-2]\"]\nbootstrap:\n")
        try RepositoryFiles.expectGolden(PlanText(plan, cloud: "sample").text, "Tests/Golden/plan-add-cell.txt")
        #expect(plan.actions.filter { $0.effect == .restart || $0.effect == .destroy }.isEmpty)
    }

    @Test("a host more in a cell touches that host, its broker user and its queue")
    func addHost() throws {
        let plan = try plan(replacing: "north-[1-2]", with: "north-[1-3]")
        try RepositoryFiles.expectGolden(PlanText(plan, cloud: "sample").text, "Tests/Golden/plan-add-host.txt")
    }

    @Test("a cell that goes is removed from the top down")
    func removeCell() throws {
        let south = "  - name: south\n    defaults: { availabilityZone: south }\n    hosts:\n      - south-[1-2]\n"
        let plan = try plan(replacing: south, with: "")
        try RepositoryFiles.expectGolden(PlanText(plan, cloud: "sample").text, "Tests/Golden/plan-remove-cell.txt")
    }

    @Test("another port of the API restarts the API and the agents, which fetch images from it")
    func changePort() throws {
        let plan = try plan(replacing: "region: RegionOne\n", with: "region: RegionOne\napi: {port: 8080}\n")
        try RepositoryFiles.expectGolden(PlanText(plan, cloud: "sample").text, "Tests/Golden/plan-change-port.txt")
    }

    @Test("a new build of one executable restarts what runs it, and nothing else")
    func newBinary() throws {
        var inputs = Self.inputs
        inputs.binaries["cellwright-conductor"] = "c2"
        let plan = Plan(
            desired: try DesiredState(sample, inputs: inputs),
            observed: ObservedFacts(allOf: try DesiredState(sample, inputs: Self.inputs)))
        try RepositoryFiles.expectGolden(PlanText(plan, cloud: "sample").text, "Tests/Golden/plan-new-binary.txt")
    }

    @Test("drift is named by its attribute")
    func drift() throws {
        let desired = try DesiredState(sample, inputs: Self.inputs)
        var facts = ObservedFacts(allOf: desired)
        let secret = Resource.ID(.file, host: "north-1", name: "/etc/cellwright/secrets/broker.host.north-1")
        let unit = Resource.ID(.unit, host: "control-1", name: "cellwright-api.service")
        let vhost = Resource.ID(.brokerVhost, host: "control-1", name: "cellwright_south")
        let stray = Resource.ID(.databaseRole, host: "control-1", name: "cellwright_west")
        facts.observations[secret] = .present(["mode": "0644", "owner": "root", "content": ""])
        facts.observations[unit] = .present(["active": "no", "enabled": "yes"])
        facts.observations[vhost] = .absent
        facts.observations[stray] = .present([:])
        let plan = Plan(desired: desired, observed: facts)
        try RepositoryFiles.expectGolden(PlanText(plan, cloud: "sample").text, "Tests/Golden/plan-drift.txt")
    }

    @Test("nothing is planned on a host that can't be reached, and that is said")
    func unreachable() throws {
        let facts = ObservedFacts(unreachable: ["south-2": "ssh: connection refused"])
        let plan = Plan(desired: try DesiredState(sample, inputs: Self.inputs), observed: facts)
        #expect(!plan.actions.contains { $0.host == "south-2" })
        #expect(PlanText(plan, cloud: "sample").text.contains("  ? south-2: ssh: connection refused ("))
    }

    @Test("every action comes after those it depends on, and ids are unique")
    func order() throws {
        let desired = try DesiredState(sample, inputs: Self.inputs)
        for plan in [
            Plan(desired: desired, observed: ObservedFacts()),
            Plan(desired: DesiredState(resources: []), observed: ObservedFacts(allOf: desired)),
        ] {
            var seen: Set<String> = []
            for action in plan.actions {
                #expect(action.dependsOn.allSatisfy(seen.contains), "\(action.id)")
                #expect(seen.insert(action.id).inserted, "\(action.id)")
            }
        }
    }

    @Test("every resource depends only on resources that exist")
    func dependencies() throws {
        let desired = try DesiredState(sample, inputs: Self.inputs)
        let ids = Set(desired.resources.map(\.id))
        for resource in desired.resources {
            for dependency in resource.dependsOn {
                #expect(ids.contains(dependency), "\(resource.id) -> \(dependency)")
            }
        }
    }

    @Test("removing everything leaves packages and accounts, and what goes with something else")
    func destroy() throws {
        let desired = try DesiredState(sample, inputs: Self.inputs)
        let plan = Plan(desired: DesiredState(resources: []), observed: ObservedFacts(allOf: desired))
        let left = Set(desired.resources.map(\.id)).subtracting(plan.actions.map(\.resource))
        #expect(Set(left.map(\.kind)) == [.packages, .account, .schema, .gate])
        #expect(plan.actions.allSatisfy { $0.effect == .destroy })
    }
}
