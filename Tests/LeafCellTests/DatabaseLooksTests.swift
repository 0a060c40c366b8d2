import FoundationEssentials
import ServerLifecycle
import Testing

@testable import Supervisor

@Suite struct DatabaseLooksTests {
    private static let pulse = CellPulse(newestSequence: 7, conductorsUp: 1, hostsUp: 2, hosts: 2)

    /// Looks that took so many seconds, `nil` for one without an answer, a second apart; the last of them ends at `end`.
    private func looked(_ seconds: [Double?]) -> (looks: DatabaseLooks, end: Date) {
        var looks = DatabaseLooks()
        var now = testEpoch
        for duration in seconds {
            now += 1
            looks.begin(at: now)
            now += duration ?? 0
            looks.end(with: duration == nil ? nil : Self.pulse, at: now)
        }
        return (looks, now)
    }

    private func seconds(_ looks: DatabaseLooks, at now: Date) -> Double? {
        looks.state(at: now).map { ($0.seconds * 1000).rounded() / 1000 }
    }

    @Test func nothingIsSaidBeforeTheFirstLookEnds() {
        var looks = DatabaseLooks()
        #expect(looks.state(at: testEpoch) == nil)
        looks.begin(at: testEpoch)
        #expect(looks.state(at: testEpoch + 0.9) == nil)
        #expect(looks.state(at: testEpoch + 1.1)?.isUp == false, "it waits too long to know nothing")
    }

    @Test(arguments: [
        ([0.8], 0.8), ([0.8, 0.002], 0.002), ([0.002, 0.8], 0.002), ([0.002, 0.8, 0.7], 0.7),
        ([0.8, 0.7, 0.001], 0.001),
    ])
    func oneSlowLookAmongQuickOnesSaysNothingTwoInARowDo(_ durations: [Double], _ told: Double) {
        let (looks, now) = looked(durations)
        #expect(looks.state(at: now)?.isUp == true && seconds(looks, at: now) == told)
        #expect(looks.pulse == Self.pulse)
    }

    @Test func aLookThatGoesOnCountsAsSoonAsItTakesLonger() {
        var (looks, now) = looked([0.002, 0.8])
        looks.begin(at: now)
        #expect(seconds(looks, at: now + 0.001) == 0.002)
        #expect(seconds(looks, at: now + 0.6) == 0.6)
        #expect(looks.state(at: now + 1.1)?.isUp == false)
        now += 1.2
        looks.end(with: Self.pulse, at: now)
        #expect(looks.state(at: now)?.isUp == true)
    }

    @Test func aLookWithoutAnAnswerSaysAtOnceThatItIsDownAndKeepsWhatWasFound() {
        let (looks, end) = looked([0.002, nil])
        #expect(looks.state(at: end)?.isUp == false)
        #expect(looks.pulse == Self.pulse)
    }
}
