import CloudModel
import FoundationEssentials
import Testing
import Topology

@testable import Deployer

/// A new cell that fails goes again without a trace; nothing else ever does.
@Suite struct NewCellTests {
    private let before: DesiredState
    private let after: DesiredState
    private let topology: Topology

    init() throws {
        before = DesiredState(try SimulatedCloud.topology(), inputs: SimulatedCloud.inputs)
        topology = try SimulatedCloud.grown()
        after = DesiredState(topology, inputs: SimulatedCloud.inputs)
    }

    private func survey(_ facts: ObservedFacts) -> Deployment.Survey {
        .init(desired: after, facts: facts, plan: Plan(desired: after, observed: facts))
    }

    /// The report of a run in which these failed and what depends on them was left out.
    private func report(
        of survey: Deployment.Survey, failing: Set<String>, unreachable: Set<String> = []
    ) -> PlanExecutor.Report {
        var graph = ActionGraph(survey.plan.actions)
        while !graph.isFinished {
            for action in graph.start() {
                graph.finish(action.id, failing.contains(action.id) ? .failed("no luck") : .succeeded)
            }
        }
        return .init(outcomes: graph.outcomes, notBegun: [], unreachable: unreachable)
    }

    private func failed(
        _ failing: Set<String>, unreachable: Set<String> = [], facts: ObservedFacts? = nil,
        earlier: [Journal.Entry] = []
    ) -> [FailedCell] {
        let survey = survey(facts ?? SimulatedCloud.facts(allOf: before))
        return FailedCell.find(
            in: report(of: survey, failing: failing, unreachable: unreachable), topology: topology, survey: survey,
            earlier: earlier)
    }

    private let conductor = "gate@control-1:cellwright-conductor-west.service"
    private let agents = ["unit@west-1:cellwright-compute.service", "unit@west-2:cellwright-compute.service"]

    @Test func aNewCellWhoseConductorDoesNotAnswerHasFailed() {
        let cells = failed([conductor])
        #expect(cells.map(\.path) == [CellPath("/west")])
        #expect(cells.first?.causes.count == 1)
        #expect(cells.first?.causes.first?.hasSuffix("no luck") == true)
    }

    @Test func oneAgentIsEnoughToMapACell() {
        #expect(failed([agents[0]]) == [])
        #expect(failed(Set(agents)).map(\.path) == [CellPath("/west")])
    }

    @Test func aHostThatCannotBeReachedIsNoFailureOfItsCell() {
        #expect(failed(Set(agents), unreachable: Set(agents)) == [])
    }

    @Test func aFailureOutsideOfTheCellUndoesNothing() {
        #expect(failed(["unit@control-1:postgresql@15-main.service"]) == [])
    }

    @Test func aCellWhoseMappingWasDeletedByHandIsNotNew() throws {
        var facts = SimulatedCloud.facts(allOf: after)
        let mapping = Resource.ID(.cellMapping, cell: CellPath("/west"), name: "west")
        facts.observations[mapping] = nil
        facts.observations[.init(.unit, host: "control-1", name: "cellwright-conductor-west.service")] = nil
        #expect(failed([conductor], facts: facts) == [])
        func entry(_ step: String) -> Journal.Entry {
            .init(time: FixedClock().now(), run: "1", step: step, what: "", outcome: .succeeded)
        }
        let made = entry("database@control-1:cellwright_west")
        #expect(
            failed([conductor], facts: facts, earlier: [made]).count == 1, "a run that was killed before the mapping")
        #expect(failed([conductor], facts: facts, earlier: [made, entry(mapping.description)]) == [])
    }

    @Test func undoingACellLeavesTheCloudAsItWasBefore() {
        let cloud = SimulatedCloud(before, present: after)
        let actions = Deployment.undoing(from: after, to: before, facts: cloud.observed)
        var graph = ActionGraph(actions, limits: .init(total: 1, perHost: 1))
        var order: [Resource.Kind] = []
        while !graph.isFinished {
            for action in graph.start() {
                cloud.perform(action)
                order.append(action.resource.kind)
                graph.finish(action.id, .succeeded)
            }
        }
        #expect(Plan(desired: before, observed: cloud.observed).actions.allSatisfy { $0.resource.kind == .unit })
        #expect(order.lastIndex(of: .unit) ?? 0 < order.firstIndex(of: .database) ?? 0)
        #expect(
            actions.allSatisfy {
                $0.resource.name.contains("west") || $0.resource.host?.text.hasPrefix("west") == true
                    || $0.resource.cell == CellPath("/west") || $0.resource.name.contains("postgresql")
            })
    }

    @Test func undoingTouchesNothingThatIsAmissElsewhere() {
        var facts = SimulatedCloud.facts(allOf: after)
        facts.observations[.init(.unit, host: "north-1", name: "cellwright-compute.service")] = nil
        facts.observations[.init(.file, host: "control-1", name: "/etc/cellwright/stray")] = .present([:])
        let actions = Deployment.undoing(from: after, to: before, facts: facts)
        #expect(!actions.contains { $0.resource.host == "north-1" || $0.resource.name.hasSuffix("stray") })
    }

    @Test func whatRestsOnAnUnreachableHostIsNotTried() throws {
        var facts = SimulatedCloud.facts(allOf: before)
        facts.unreachable = ["west-1": "no route"]
        let one = Plan(desired: after, observed: facts)
        #expect(one.actions.contains { $0.resource.kind == .cellMapping })
        facts.unreachable["west-2"] = "no route"
        let none = Plan(desired: after, observed: facts)
        #expect(!none.actions.contains { $0.resource.kind == .cellMapping })
        #expect(none.unknown.contains { $0.resource.kind == .cellMapping && $0.reason.contains("no route") })
    }
}
