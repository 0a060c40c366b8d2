import CloudModel
import Topology

/// The world as a plan leaves it: every resource found just as it is wanted.
extension ObservedFacts {
    init(allOf desired: DesiredState) {
        self.init(
            observations: Observations(
                Dictionary(
                    desired.resources.map { ($0.id, Observation.present($0.attributes)) },
                    uniquingKeysWith: { first, _ in first })))
    }
}

/// The sample topology as it was applied: what edits of it are planned against.
struct SampleWorld {
    static let inputs = DesiredState.Inputs(
        binaries: [
            "cellwright-api": "a1", "cellwright-supervisor": "b1", "cellwright-conductor": "c1",
            "cellwright-compute": "d1",
        ], secrets: [:])

    let text: String
    let topology: Topology
    let desired: DesiredState

    init(_ path: String = "topology.yaml") throws {
        text = try RepositoryFiles.text(path)
        topology = try TopologyDocument.read(text, file: path).withLabAddresses()
        desired = DesiredState(topology, inputs: Self.inputs)
    }

    /// Everything is as it should be; cell north has three servers of two projects, cell south none.
    var facts: ObservedFacts {
        var facts = ObservedFacts(allOf: desired)
        let (first, second) = (Self.project(1), Self.project(2))
        facts.usage[.at("/north")] = CellUsage(
            total: Usage(instances: 3, projects: [first, second]),
            hosts: [
                "north-1": Usage(instances: 2, projects: [first, second]),
                "north-2": Usage(instances: 1, projects: [second]),
            ])
        facts.usage[.at("/south")] = CellUsage()
        return facts
    }

    /// An edited topology, whose lab hosts keep their addresses.
    func edited(_ text: String) throws -> Topology {
        let known = Dictionary(uniqueKeysWithValues: topology.hosts.map { ($0.name, $0.reachableAt) })
        return try TopologyDocument.read(text, file: "t").withLabAddresses(existing: known)
    }

    static func project(_ number: Int) -> ProjectID { ProjectID("project-\(number)") }
}

extension CellPath {
    static func at(_ text: String) -> CellPath { CellPath(text) ?? .root }
}
