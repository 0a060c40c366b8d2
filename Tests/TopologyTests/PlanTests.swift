import CloudModel
import FoundationEssentials
import Testing
import Topology

@Suite("Plans")
struct PlanTests {
    private let world: SampleWorld
    private var sample: Topology { world.topology }

    init() throws { world = try SampleWorld() }

    private func plan(_ name: String) throws -> Plan {
        try plan(try #require(PlanEdit.all.first { $0.name == name }))
    }

    private func plan(_ edit: PlanEdit) throws -> Plan {
        var text = world.text
        for (old, new) in edit.replacements {
            #expect(text.contains(old), "\(edit.name): \(old)")
            text = text.replacing(old, with: new, maxReplacements: 1)
        }
        var facts = world.facts
        edit.happened(&facts)
        return Plan(desired: DesiredState(try world.edited(text), inputs: edit.inputs), observed: facts)
    }

    @Test("the plan of an edit is as it was approved", arguments: PlanEdit.all.map(\.name))
    func golden(_ name: String) throws {
        let plan = try plan(name)
        try RepositoryFiles.expectGolden(
            PlanText(plan, cloud: sample.name).text, "Tests/Golden/plans/\(name).txt")
    }

    @Test("growth restarts and destroys nothing")
    func growth() throws {
        for name in ["add-cell", "add-cell-with-own-control", "add-host", "add-branch", "add-empty-cell", "add-flavor"]
        {
            #expect(try plan(name).actions.filter(\.effect.isDisturbing).isEmpty, "\(name)")
        }
    }

    @Test("what holds servers is named before it is destroyed, what holds none is not")
    func losses() throws {
        let whole = try plan("remove-cell")
        #expect(whole.losses.map(\.cell) == [.at("/north")])
        #expect(whole.losses.first?.servers == 3)
        #expect(whole.losses.first?.projects == 2)
        #expect(throws: DataLossRefusal.self) { try whole.refuseLosses(except: [.at("/south")]) }
        try whole.refuseLosses(except: [.at("/north")])
        let host = try plan("remove-host")
        #expect(host.losses.first?.servers == 1)
        for name in ["remove-empty-cell", "remove-empty-host", "new-binary"] {
            #expect(try plan(name).losses.isEmpty, "\(name)")
        }
        for name in ["rename-cell", "move-host", "move-cell-to-own-control", "split-cell"] {
            #expect(try plan(name).losses.map(\.cell) == [.at("/north")], "\(name)")
        }
    }

    @Test("a cell that could not be asked counts as full, and the root's data always counts")
    func unknownUsage() throws {
        var facts = world.facts
        facts.usage = [:]
        let gone = Plan(desired: DesiredState(resources: []), observed: facts)
        #expect(gone.losses.map(\.cell.description) == ["/", "/north", "/south"])
        #expect(gone.losses.allSatisfy { $0.servers == nil })
        let refusal = #expect(throws: DataLossRefusal.self) { try gone.refuseLosses(except: [.at("/north")]) }
        #expect(refusal?.description.hasSuffix("add --allow-data-loss / --allow-data-loss /south") == true)
    }

    @Test("the summary counts servers behind what restarts: a cell's for its conductor, a host's for its agent")
    func radius() throws {
        #expect(try plan("new-binary").radius.servers == 3)
        #expect(try plan("new-supervisor").radius.projects == 2)
        #expect(try plan("change-capacity").radius.servers == 2)
        #expect(try plan("add-cell").radius.servers == 0)
        #expect(try plan("no-change").radius.notices == [])
    }

    @Test("applied, nothing is left to do")
    func empty() throws {
        let desired = DesiredState(sample, inputs: SampleWorld.inputs)
        let plan = Plan(desired: desired, observed: ObservedFacts(allOf: desired))
        #expect(plan.isEmpty)
        #expect(PlanText(plan, cloud: "sample").text == "No change: cloud sample is as the topology says.\n")
    }

    @Test("nothing is planned on a host that can't be reached, and that is said")
    func unreachable() throws {
        let facts = ObservedFacts(unreachable: ["south-2": "ssh: connection refused"])
        let plan = Plan(desired: DesiredState(sample, inputs: SampleWorld.inputs), observed: facts)
        #expect(!plan.actions.contains { $0.host == "south-2" })
        #expect(PlanText(plan, cloud: "sample").text.contains("  ? south-2: ssh: connection refused ("))
    }

    @Test("every action comes after those it depends on, and ids are unique")
    func order() throws {
        let desired = DesiredState(sample, inputs: SampleWorld.inputs)
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
        let desired = DesiredState(sample, inputs: SampleWorld.inputs)
        let ids = Set(desired.resources.map(\.id))
        for resource in desired.resources {
            for dependency in resource.dependsOn {
                #expect(ids.contains(dependency), "\(resource.id) -> \(dependency)")
            }
        }
    }

    @Test("removing everything leaves packages and accounts, and what goes with something else")
    func destroy() throws {
        let desired = DesiredState(sample, inputs: SampleWorld.inputs)
        let plan = Plan(desired: DesiredState(resources: []), observed: ObservedFacts(allOf: desired))
        let left = Set(desired.resources.map(\.id)).subtracting(plan.actions.map(\.resource))
        #expect(Set(left.map(\.kind)) == [.packages, .account, .schema, .gate])
        #expect(plan.actions.allSatisfy { $0.effect == .destroy })
    }
}
