import FoundationEssentials
import Testing

@testable import Conductor

@Suite struct HostPresenceTests {
    @Test func silenceCountsOnlyAsLongAsItCouldHaveBeenBroken() {
        var presence = HostPresence()
        /// Whether hosts can be heard again, and whether silence means something.
        func look(_ seconds: TimeInterval, isConnected: Bool = true) -> [Bool] {
            let now = testEpoch + seconds
            let isHeardAgain = presence.note(isConnected: isConnected, now: now)
            return [isHeardAgain, presence.isSilenceMeaningful(now: now, timeout: .seconds(10))]
        }
        for second in 0..<10 { #expect(look(TimeInterval(second)) == [false, false]) }
        #expect(look(10) == [false, true])
        #expect(look(11, isConnected: false) == [false, false])
        #expect(look(12) == [true, false], "the broker was away")
        for second in 13..<22 { #expect(look(TimeInterval(second)) == [false, false]) }
        #expect(look(22) == [false, true])
        #expect(look(40) == [true, false], "it was frozen, or had no database, and heard nobody meanwhile")
        for second in 41..<50 { #expect(look(TimeInterval(second)) == [false, false]) }
        #expect(look(50) == [false, true])
    }
}
