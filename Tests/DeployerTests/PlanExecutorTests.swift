import CloudModel
import FoundationEssentials
import Primitives
import Synchronization
import Testing
import Topology

@testable import Deployer

@Suite struct PlanExecutorTests {
    private struct Failure: Error, CustomStringConvertible { var description: String { "no space" } }

    private func actions(_ count: Int) -> [PlanAction] {
        (1...count).map { number in
            PlanAction(
                resource: .init(.file, host: "a", name: "/\(number)"), cell: "/north".cell, what: "write /\(number)",
                why: "absent", effect: .create, dependsOn: number > 1 ? ["file@a:/\(number - 1)"] : [],
                specification: nil)
        }
    }

    private func executor(_ path: String, _ reporter: any ProgressReporter, _ stop: StopRequest) throws -> PlanExecutor
    {
        PlanExecutor(
            journal: try Journal(path: path), run: "r1", reporter: reporter, wallClock: FixedClock(), stop: stop)
    }

    @Test func everyStepIsInTheJournalBeforeAndAfter() async throws {
        let folder = try TemporaryFolder()
        let path = "\(folder.path)/journal"
        let reporter = RecordingReporter()
        let report = try await executor(path, reporter, StopRequest()).execute(actions(3)) { action in
            #expect(try Journal.read(path).last == entry(action, .started))
            if action.resource.name == "/2" { throw Failure() }
        }
        #expect(report.succeeded == 1)
        #expect(!report.isComplete)
        #expect(
            try Journal.read(path).map { "\($0.step) \($0.outcome.rawValue) \($0.detail ?? "")" } == [
                "file@a:/1 started ", "file@a:/1 succeeded ", "file@a:/2 started ", "file@a:/2 failed no space",
            ])
        #expect(reporter.events.map(\.kind) == [.planned, .begun, .done, .begun, .failed, .skipped])
    }

    @Test func aStopEndsWhatHasBegunAndBeginsNothing() async throws {
        let folder = try TemporaryFolder()
        let stop = StopRequest()
        let done = Mutex<[String]>([])
        let report = try await executor("\(folder.path)/journal", RecordingReporter(), stop).execute(actions(3)) {
            action in
            stop.request()
            done.withLock { $0.append(action.resource.name) }
        }
        #expect(done.withLock { $0 } == ["/1"])
        #expect(report.notBegun == ["file@a:/2", "file@a:/3"])
    }

    private func entry(_ action: PlanAction, _ outcome: Journal.Entry.Outcome) -> Journal.Entry {
        .init(time: FixedClock().now(), run: "r1", step: action.id, what: action.what, outcome: outcome)
    }
}

extension String {
    fileprivate var cell: CellPath? { CellPath(self) }
}
