import FoundationEssentials
import Testing

@testable import Conductor

@Suite struct HostClocksTests {
    private let clocks = HostClocks()
    private let now = testEpoch

    /// A heartbeat that was under way for a hundredth of a second, sent by a clock that is so far ahead.
    private func beat(ahead: TimeInterval, at seconds: TimeInterval = 0) -> TimeInterval? {
        clocks.learn(now + seconds - 0.01 + ahead, from: "a", now: now + seconds)
    }

    private func told(_ seconds: TimeInterval, by ahead: TimeInterval) -> TimeInterval {
        clocks.time(now + seconds + ahead, from: "a", now: now).timeIntervalSince(now)
    }

    @Test(arguments: [0.0, 3600, -3600, 7]) func timesAreToldByTheCellsClock(ahead: TimeInterval) {
        _ = beat(ahead: ahead)
        #expect(abs(told(-0.01, by: ahead)) < 0.001, "just now")
        #expect(abs(told(-300, by: ahead) + 299.99) < 0.001, "a report that waited for five minutes")
    }

    @Test func noTimeIsLaterThanItsArrival() {
        #expect(told(0, by: 3600) == 0, "of a host that has not beaten yet")
        _ = beat(ahead: 0)
        #expect(told(0, by: 3600) == 0, "of a clock that was moved since")
    }

    @Test func aClockThatWasSetBackIsBelievedAfterSomeHeartbeats() {
        _ = beat(ahead: 3600)
        for _ in 1..<HostClocks.window { _ = beat(ahead: 0) }
        #expect(told(0, by: 0) < -3500, "until then its times count as long ago, which does no harm")
        _ = beat(ahead: 0)
        #expect(told(-0.01, by: 0) == 0)
    }

    @Test func aWrongClockIsToldOfOnce() {
        #expect(beat(ahead: 1) == nil)
        let ahead = beat(ahead: 60)
        #expect(ahead.map { abs($0 - 59.99) < 0.001 } == true)
        #expect(beat(ahead: 60) == nil)
        for _ in 0..<HostClocks.window { _ = beat(ahead: 0) }
        #expect(beat(ahead: 60) != nil, "again")
    }
}
