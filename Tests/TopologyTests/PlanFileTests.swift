import CloudModel
import FoundationEssentials
import Testing
import Topology

@Suite("Saved plans")
struct PlanFileTests {
    private let world: SampleWorld
    private let edited: Topology
    private let desired: DesiredState
    private let file: PlanFile
    private let plan: Plan

    init() throws {
        world = try SampleWorld()
        edited = try world.edited(world.text.replacing("north-[1-2]", with: "north-[1-3]"))
        desired = DesiredState(edited, inputs: SampleWorld.inputs)
        plan = Plan(desired: desired, observed: world.facts)
        file = try PlanFile(
            plan, topology: edited, desired: desired, observed: world.facts,
            madeAt: Date(timeIntervalSince1970: 1_800_000_000), tool: "0.1.0")
    }

    private func moves(
        _ topology: Topology? = nil, _ desired: DesiredState? = nil, _ change: (inout ObservedFacts) -> Void = { _ in }
    ) throws -> [String] {
        var facts = world.facts
        change(&facts)
        do {
            let actions = try file.actions(
                topology: topology ?? edited, desired: desired ?? self.desired, observed: facts)
            #expect(actions == plan.actions)
            return []
        } catch let moved as PlanMoved {
            return moved.reasons
        }
    }

    @Test("in an unchanged world it is the same plan, also after a round trip")
    func holds() throws {
        #expect(try moves() == [])
        let encoder = JSONEncoder()
        encoder.dateEncodingStrategy = .iso8601
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .iso8601
        #expect(try decoder.decode(PlanFile.self, from: try encoder.encode(file)) == file)
    }

    @Test("what moves elsewhere does not matter, and is not done by the way")
    func elsewhere() throws {
        #expect(
            try moves { facts in
                facts.observations[.init(.unit, host: "south-1", name: "cellwright-compute.service")] = .absent
                facts.unreachable["south-2"] = "ssh: connection refused"
                facts.usage[.at("/south")] = nil
            } == [])
    }

    @Test("what it rests on and what it changes are named when they move")
    func moved() throws {
        let unit = Resource.ID(.unit, host: "control-1", name: "rabbitmq-server.service")
        #expect(
            try moves { $0.observations[unit] = .absent } == ["\(unit) is not as it was found"])
        let folder = Resource.ID(.directory, host: "north-3", name: "/etc/cellwright")
        #expect(
            try moves { $0.observations[folder] = .present(["mode": "0755", "owner": "root"]) }
                == ["\(folder) is not as it was found"])
        #expect(try moves { $0.unreachable["north-3"] = "ssh: timed out" }.count > 10)
    }

    @Test("another topology and other executables are named")
    func wanted() throws {
        let other = try world.edited(world.text.replacing("north-[1-2]", with: "north-[1-4]"))
        #expect(try moves(other).contains("the topology is another"))
        var inputs = SampleWorld.inputs
        inputs.binaries["cellwright-compute"] = "d2"
        let binary = "file@north-3:/usr/lib/cellwright/process/cellwright-compute"
        #expect(
            try moves(nil, DesiredState(edited, inputs: inputs)).contains("\(binary) is wanted otherwise"))
    }

    @Test("a file that was changed by hand is refused")
    func forged() throws {
        var forged = file
        forged.basis["unit@control-1:rabbitmq-server.service"]?.found = "absent"
        #expect(throws: PlanMoved.self) {
            try forged.actions(topology: edited, desired: desired, observed: world.facts)
        }
        forged = file
        forged.plan.actions.removeLast()
        #expect(throws: PlanMoved.self) {
            try forged.actions(topology: edited, desired: desired, observed: world.facts)
        }
    }

    @Test("it tells no secret")
    func secrets() throws {
        var inputs = SampleWorld.inputs
        let digest = ContentDigest.of("hunter2")
        inputs.secrets[.broker(user: "host.north-3")] = digest
        let desired = DesiredState(edited, inputs: inputs)
        let file = try PlanFile(
            Plan(desired: desired, observed: world.facts), topology: edited, desired: desired, observed: world.facts,
            madeAt: Date(timeIntervalSince1970: 0), tool: "")
        let text = String(decoding: try JSONEncoder().encode(file), as: UTF8.self)
        #expect(!text.contains(digest.prefix(16)))
    }
}
