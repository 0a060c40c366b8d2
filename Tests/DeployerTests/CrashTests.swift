import CloudModel
import FoundationEssentials
import Testing
import Topology

@testable import Deployer

/// An apply that is killed at any point and run again ends where one that was never killed ends.
@Suite struct CrashTests {
    private struct Killed: Error {}

    private func execute(
        _ plan: Plan, in cloud: SimulatedCloud, journal: String, faults: FaultPoints
    ) async throws -> PlanExecutor.Report {
        let executor = PlanExecutor(
            journal: try Journal(path: journal), run: "r", reporter: RecordingReporter(), wallClock: FixedClock(),
            stop: StopRequest(), limits: .init(total: 1, perHost: 1, shortPerHost: 1), faults: faults)
        return try await executor.execute(plan.actions) { cloud.perform($0) }
    }

    @Test func theAdditionOfACellKilledAtEachPointConverges() async throws {
        let before = DesiredState(try SimulatedCloud.topology(), inputs: SimulatedCloud.inputs)
        let after = DesiredState(try SimulatedCloud.grown(), inputs: SimulatedCloud.inputs)
        let folder = try TemporaryFolder(in: "/dev/shm")
        let journal = "\(folder.path)/journal"
        var point = 0
        var wasKilled = true
        while wasKilled {
            // Every other one: of the three that each step has, one or two, and by turns all.
            point += 2
            wasKilled = false
            let cloud = SimulatedCloud(after, present: before)
            let first = Plan(desired: after, observed: cloud.observed)
            do {
                _ = try await execute(
                    first, in: cloud, journal: journal, faults: FaultPoints(at: point) { throw Killed() })
            } catch is Killed {
                wasKilled = true
            }
            let second = Plan(desired: after, observed: cloud.observed)
            let planned = Set(first.actions.map(\.id))
            #expect(second.actions.allSatisfy { planned.contains($0.id) }, "killed at point \(point)")
            #expect(try await execute(second, in: cloud, journal: journal, faults: .none).isComplete)
            #expect(cloud.observed == SimulatedCloud.facts(allOf: after), "killed at point \(point)")
            #expect(Plan(desired: after, observed: cloud.observed).isEmpty, "killed at point \(point)")
            try FileSystem.remove(journal)
        }
        print("killed at \(point / 2 - 1) points of the addition of a cell")
        #expect(point > 150)
    }

    @Test func whatARunThatWasKilledLeftOpenIsKnown() {
        func entry(_ run: String, _ step: String, _ outcome: Journal.Entry.Outcome) -> Journal.Entry {
            .init(time: FixedClock().now(), run: run, step: step, what: step, outcome: outcome)
        }
        let entries = [
            entry("1", "a", .started), entry("2", "b", .started), entry("2", "c", .started),
            entry("2", "b", .succeeded),
        ]
        #expect(Journal.interrupted(entries) == ["c"])
        #expect(Journal.interrupted(entries + [entry("2", "c", .failed)]) == [])
        #expect(Journal.interrupted([]) == [])
    }

    @Test func aPlaceIsCountedAmongAllOrAmongThoseOfOneMoment() throws {
        for (faults, places) in [
            (FaultPoints(at: 3) { throw Killed() }, [.begun, .begun, .done]),
            (FaultPoints(at: 2, of: .done) { throw Killed() }, [.begun, .done, .noted, .begun, .done]),
        ] as [(FaultPoints, [FaultPoints.Moment])] {
            for place in places.dropLast() { try faults.pass(place) }
            #expect(throws: Killed.self) { try faults.pass(try #require(places.last)) }
            #expect(faults.passed == places.count)
        }
    }
}
