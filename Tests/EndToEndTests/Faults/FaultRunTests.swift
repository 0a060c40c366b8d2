import Deployer
import Foundation
import Primitives
import TestSupport
import Testing

/// Processes of every kind are killed, frozen and restarted, their clocks moved and their disks filled, while servers are made and
/// deleted and images uploaded: nothing that was accepted is lost, nothing is left over, no answer was untrue.
///
/// A small run with a fixed seed, unless the environment says more, as `deploy/fault-tests` does: a cloud of its own for each
/// seed.
@Suite(.serialized, .enabled(if: TestCloud.missing == nil, "\(TestCloud.missing ?? "")"), .timeLimit(.minutes(60)))
struct FaultRunTests {
    private static let plans: [FaultRun.Plan] = {
        let environment = ProcessInfo.processInfo.environment
        func number(_ name: String, _ standard: Int) -> Int { environment[name].flatMap { Int($0) } ?? standard }
        let seeds = (environment["CELLWRIGHT_FAULT_SEEDS"] ?? "1").split(separator: ",").compactMap { UInt64($0) }
        return seeds.map { seed in
            FaultRun.Plan(
                seed: seed, servers: number("CELLWRIGHT_FAULT_SERVERS", 60), faults: number("CELLWRIGHT_FAULTS", 10),
                longest: .seconds(number("CELLWRIGHT_FAULT_SECONDS", 3)))
        }
    }()

    private static let replicas = ProcessInfo.processInfo.environment["CELLWRIGHT_FAULT_REPLICAS"] ?? "1"
    /// Where the logs of a cloud go that was not as it must be.
    private static let keptLogs = ProcessInfo.processInfo.environment["CELLWRIGHT_FAULT_LOGS"]

    @Test(arguments: plans) func nothingAcceptedIsLostWhateverDies(plan: FaultRun.Plan) async throws {
        let clocks = try MovedClocks()
        let cloud = try await TestCloud.start(
            arguments: ["--replicas", Self.replicas], environment: clocks.environment)
        var disks: SmallDisks?
        do {
            if SmallDisks.areAllowed { disks = try await SmallDisks.mount(on: cloud.ready) }
            let wrongs = try await FaultRun(plan, on: cloud.ready, clocks, disks).run()
            #expect(wrongs == [])
            if !wrongs.isEmpty { try Self.keepLogs(of: cloud, plan) }
        } catch {
            try Self.keepLogs(of: cloud, plan)
            disks?.unmount()
            await cloud.end()
            throw error
        }
        disks?.unmount()
        await cloud.end()
    }

    private static func keepLogs(of cloud: TestCloud, _ plan: FaultRun.Plan) throws {
        guard let folder = keptLogs else { return }
        let own = "\(folder)/seed-\(plan.seed)"
        try FileManager.default.createDirectory(atPath: own, withIntermediateDirectories: true)
        for log in Set(cloud.ready.processes.map(\.log)) {
            let copy = "\(own)/\(URL(filePath: log).lastPathComponent)"
            if FileManager.default.fileExists(atPath: copy) { try FileManager.default.removeItem(atPath: copy) }
            try FileManager.default.copyItem(atPath: log, toPath: copy)
        }
    }

    // MARK: The harness itself

    @Test func aScheduleIsTheSameForTheSameSeedAndHasEverything() {
        func names(_ seed: UInt64, fillsDisks: Bool = true) -> [[String]] {
            FaultSchedule(seed: seed, faults: 60, longest: .seconds(3), fillsDisks: fillsDisks).volleys
                .map { $0.map(\.name) }
        }
        #expect(names(1) == names(1) && names(1) != names(2))
        #expect(names(1).joined().count == 60)
        #expect(
            Set(names(1).joined()).count == 18 + 4 + 3,
            "six kinds of processes, each killed, frozen and restarted; four clocks moved, three disks full")
        #expect(Set(names(1, fillsDisks: false).joined()).count == 18 + 4)
        let ten = FaultSchedule(seed: 1, faults: 10, longest: .seconds(3), fillsDisks: true).volleys.joined()
        #expect(Set(ten.map(\.victim)).count == 6)
        #expect(Set(ten.map(\.mode)).count == 5)
    }

    @Test func answersThatCanNotBeTrueAreFound() {
        let ledger = FaultLedger()
        ledger.accepted("a", "a")
        ledger.take(list: ["a": "BUILD"], isPartial: false, ledger.expectation())
        ledger.take(show: "a", ["status": "ACTIVE"], ledger.expectation())
        ledger.take(list: [:], isPartial: true, ledger.expectation())
        #expect(ledger.lies == [])
        ledger.take(list: [:], isPartial: false, ledger.expectation())
        ledger.take(show: "a", ["status": "BUILD"], ledger.expectation())
        ledger.take(show: "a", ["status": "ERROR"], ledger.expectation())
        ledger.take(show: "a", nil, ledger.expectation())
        #expect(ledger.lies.count == 4)
        let before = ledger.expectation()
        ledger.deleteIsAsked("a")
        ledger.take(list: [:], isPartial: false, before)
        ledger.take(show: "a", nil, before)
        #expect(ledger.lies.count == 4 && ledger.counts.gone == 1)
        ledger.take(show: "a", ["status": "ACTIVE"], ledger.expectation())
        ledger.take(list: ["a": "BUILD"], isPartial: false, ledger.expectation())
        #expect(ledger.lies.count == 6)
        // Its cell is not asked.
        ledger.take(show: "a", ["status": "UNKNOWN"], ledger.expectation())
        ledger.take(list: ["a": "UNKNOWN"], isPartial: false, ledger.expectation())
        #expect(ledger.lies.count == 6)
    }
}
