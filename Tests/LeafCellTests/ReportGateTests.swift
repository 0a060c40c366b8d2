import FoundationEssentials
import Primitives
import Testing

@testable import Conductor

@Suite struct ReportGateTests {
    private let now = Date(timeIntervalSince1970: 1_700_000_000)

    @Test func aReportIsTakenOnceAndAgainOnlyWhenItWasGivenBack() {
        let gate = ReportGate()
        let report = ids.uuid()
        #expect(gate.admit(report, bytes: 10, from: "h1", at: now) == .taken)
        #expect(gate.admit(report, bytes: 10, from: "h1", at: now) == .repeated)
        // Another host's message of the same id is another message.
        #expect(gate.admit(report, bytes: 10, from: "h2", at: now) == .taken)
        gate.forget(report, from: "h1")
        #expect(gate.admit(report, bytes: 10, from: "h1", at: now) == .taken)
    }

    @Test func aHostThatFloodsIsHeldToItsShareAndLeavesTheOthersTheirs() {
        let gate = ReportGate()
        let verdicts = (0..<3_000).map { _ in gate.admit(ids.uuid(), bytes: 10, from: "h1", at: now) }
        #expect(verdicts.prefix(Int(ReportGate.burst)).allSatisfy { $0 == .taken })
        #expect(verdicts.dropFirst(Int(ReportGate.burst)).allSatisfy { $0 == .tooMany })
        #expect(gate.admit(ids.uuid(), bytes: 10, from: "h2", at: now) == .taken)
        let later = now.addingTimeInterval(0.5)
        let next = (0..<200).map { _ in gate.admit(ids.uuid(), bytes: 10, from: "h1", at: later) }
        #expect(next.filter { $0 == .taken }.count == Int(ReportGate.rate / 2))
    }

    @Test func aClockThatIsSetBackTakesNothingAway() {
        let gate = ReportGate()
        _ = gate.admit(ids.uuid(), bytes: 10, from: "h1", at: now)
        #expect(gate.admit(ids.uuid(), bytes: 10, from: "h1", at: now.addingTimeInterval(-3600)) == .taken)
    }

    @Test func whatIsTooLargeCountsAndIsNotTaken() {
        let gate = ReportGate()
        #expect(gate.admit(ids.uuid(), bytes: ReportGate.bodyLimit + 1, from: "h1", at: now) == .tooLarge)
        #expect(gate.admit(ids.uuid(), bytes: ReportGate.bodyLimit, from: "h1", at: now) == .taken)
    }

    @Test func onlyTheNewestReportsAreRemembered() {
        let gate = ReportGate()
        let first = ids.uuid()
        _ = gate.admit(first, bytes: 1, from: "h1", at: now)
        for _ in 0..<ReportGate.memory { _ = gate.admit(ids.uuid(), bytes: 1, from: "h1", at: now) }
        #expect(gate.admit(first, bytes: 1, from: "h1", at: now) == .taken)
    }
}
