import CloudModel
import FoundationEssentials
import Primitives
import Synchronization
import Topology

@testable import Deployer

/// A topology's cloud as facts alone: an action that is performed changes them as the real one would.
final class SimulatedCloud: Sendable {
    static let inputs = DesiredState.Inputs(
        binaries: [
            "cellwright-api": "a1", "cellwright-supervisor": "b1", "cellwright-conductor": "c1",
            "cellwright-compute": "d1",
        ], secrets: [:])

    /// A root and two cells.
    static let document = """
        apiVersion: cellwright/v1
        name: trial
        lab:
          network: 10.78.1.0/24
        hosts: [control-1]
        cells:
          - name: north
            hosts: ["north-[1-2]"]
          - name: south
            hosts: [south-1]

        """

    static func topology(adding text: String = "") throws -> Topology {
        try TopologyDocument.read(document + text, file: "topology.yaml").withLabAddresses()
    }

    /// With a third cell of two hosts.
    static func grown() throws -> Topology {
        try topology(adding: "  - name: west\n    hosts: [\"west-[1-2]\"]\n")
    }

    private let desired: [Resource.ID: [String: String]]
    private let facts: Mutex<ObservedFacts>

    /// - Parameters:
    ///   - desired: all that an action may make.
    ///   - present: what is there already.
    init(_ desired: DesiredState, present: DesiredState) {
        self.desired = Dictionary(
            desired.resources.map { ($0.id, $0.attributes) }, uniquingKeysWith: { first, _ in first })
        facts = Mutex(Self.facts(allOf: present))
    }

    static func facts(allOf desired: DesiredState) -> ObservedFacts {
        ObservedFacts(
            observations: Observations(
                Dictionary(
                    desired.resources.map { ($0.id, .present($0.attributes)) },
                    uniquingKeysWith: { first, _ in first })))
    }

    var observed: ObservedFacts { facts.withLock { $0 } }

    func perform(_ action: PlanAction) {
        facts.withLock { facts in
            facts.observations[action.resource] =
                action.specification == nil ? nil : .present(desired[action.resource] ?? [:])
        }
    }
}

struct FixedClock: WallClock {
    func now() -> Date { Date(timeIntervalSince1970: 1_800_000_000) }
}
