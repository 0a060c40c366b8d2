import CloudModel
import Testing
import Topology

@Suite("Stages of an upgrade")
struct UpgradeStagesTests {
    private let world: SampleWorld
    private let layout: ProcessLayout

    init() throws {
        world = try SampleWorld()
        layout = ProcessLayout(world.topology)
    }

    private func plan(
        _ inputs: DesiredState.Inputs, _ topology: Topology? = nil, _ facts: ObservedFacts? = nil
    ) throws -> Plan {
        Plan(
            desired: DesiredState(topology ?? world.topology, inputs: inputs), observed: facts ?? world.facts)
    }

    private func stages(
        canary: CellPath? = nil, topology: Topology? = nil, facts: ObservedFacts? = nil,
        _ change: (inout DesiredState.Inputs) -> Void
    ) throws -> UpgradeStages {
        var inputs = SampleWorld.inputs
        change(&inputs)
        return try UpgradeStages(
            world.topology, layout: layout, plan: try plan(inputs, topology, facts), canary: canary)
    }

    private func renewAll(_ inputs: inout DesiredState.Inputs) {
        inputs.binaries = inputs.binaries.mapValues { $0 + "-new" }
    }

    @Test("the first leaf is the canary, the root with the API comes last")
    func order() throws {
        #expect(try stages(renewAll).stages.map(\.cell.description) == ["/north", "/south", "/"])
        let other = try stages(canary: .at("/south"), renewAll).stages
        #expect(other.map(\.cell.description) == ["/south", "/north", "/"])
    }

    @Test("the stages together are the plan, each action once")
    func completeness() throws {
        var inputs = SampleWorld.inputs
        renewAll(&inputs)
        let ids = try stages(renewAll).stages.flatMap(\.actions).map(\.id)
        #expect(Set(ids).count == ids.count)
        #expect(Set(ids) == Set(try plan(inputs).actions.map(\.id)))
    }

    @Test("a stage touches nothing of another cell, and only the root's restarts the API")
    func separation() throws {
        for stage in try stages(renewAll).stages {
            let processes = layout.processes.filter { $0.cell == stage.cell }
            #expect(stage.processes == processes)
            for action in stage.actions where action.resource.kind != .schema {
                #expect(
                    processes.contains {
                        $0.host == action.host && ([$0.unit] + $0.replaceable).contains(action.resource.name)
                    }, "\(action.id) in the stage of \(stage.cell)")
            }
            let restarted = stage.actions.filter { $0.resource.kind == .unit }.map(\.resource.name)
            #expect(restarted.contains("cellwright-api.service") == (stage.cell == .root))
        }
    }

    @Test("files come first, then supervisor, conductor, one agent, and the others")
    func orderWithin() throws {
        let stage = try #require(try stages(renewAll).stages.first)
        let units = stage.actions.filter { $0.resource.kind == .unit }
        let files = stage.actions.filter { $0.resource.kind == .file }.map(\.id)
        #expect(files.count >= units.count)
        for unit in units { #expect(Set(files).isSubset(of: unit.dependsOn), "\(unit.id)") }
        func unit(_ name: String, _ host: HostName) throws -> PlanAction {
            try #require(units.first { $0.resource.name == "cellwright-\(name).service" && $0.host == host })
        }
        func gate(_ name: String, _ host: HostName) -> String {
            Resource.ID(.gate, host: host, name: "cellwright-\(name).service").description
        }
        #expect(try unit("conductor-north", "control-1").dependsOn.contains(gate("supervisor-north", "control-1")))
        #expect(try unit("compute", "north-1").dependsOn.contains(gate("conductor-north", "control-1")))
        #expect(try unit("compute", "north-2").dependsOn.contains(gate("compute", "north-1")))
        #expect(try !unit("compute", "north-1").dependsOn.contains(gate("compute", "north-2")))
    }

    @Test("a build that only one kind of process has touches only cells that run it")
    func partial() throws {
        #expect(
            try stages { $0.binaries["cellwright-compute"] = "d2" }.stages.map(\.cell.description)
                == ["/north", "/south"])
        #expect(try stages { $0.binaries["cellwright-api"] = "a2" }.stages.map(\.cell.description) == ["/"])
        #expect(try stages { _ in }.stages.isEmpty)
    }

    @Test("other changes are refused, and so are a cell that is not there and a host that cannot be reached")
    func refusals() throws {
        var other = world.topology
        other.region = "Elsewhere"
        other.bootstrap.projects.append(Topology.Project(name: "more", description: ""))
        #expect(throws: UpgradeStages.Refusal.otherChanges(["create project more"])) {
            try stages(topology: other, renewAll)
        }
        #expect(throws: UpgradeStages.Refusal.noSuchCell("/west")) { try stages(canary: .at("/west"), renewAll) }
        var facts = world.facts
        facts.unreachable["south-1"] = "ssh: timed out"
        #expect(throws: UpgradeStages.Refusal.self) { try stages(facts: facts, renewAll) }
    }

    @Test("a process that does not run is mended first, unless an upgrade left it so")
    func cutShort() throws {
        let process = try #require(layout.processes.first { $0.unit == "cellwright-supervisor-north.service" })
        var facts = world.facts
        let unit = Resource.ID(.unit, host: process.host, name: process.unit)
        facts.observations[unit] = .present(["active": "no", "enabled": "yes", "inputs": "broken"])
        #expect(throws: UpgradeStages.Refusal.self) { try stages(facts: facts, renewAll) }
        for name in process.kept {
            facts.observations[.init(.file, host: process.host, name: name)] = .present(["mode": "0755"])
        }
        let found = try stages(facts: facts, renewAll)
        #expect(found.stages.map(\.cell.description) == ["/north", "/south", "/"])
        #expect(found.leftovers.map(\.resource.name).sorted() == process.kept.sorted())
        // Nothing is left to bring, but whether it works was never seen.
        facts = world.facts
        for name in process.kept {
            facts.observations[.init(.file, host: process.host, name: name)] = .present(["mode": "0755"])
        }
        let rest = try stages(facts: facts) { _ in }
        #expect(rest.stages.map(\.cell.description) == ["/north"])
        #expect(rest.stages.first?.processes == [process])
        #expect(rest.stages.first?.actions.isEmpty == true)
    }
}
