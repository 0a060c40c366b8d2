import CellProtocol
import CloudModel
import FoundationEssentials
import Testing

@testable import ServerLifecycle

@Suite struct ChildHealthTests {
    private static let up = ChildHealth.View(health: .up, reason: nil)
    private static let silent = ChildHealth.View(health: .down, reason: "no heartbeat from its supervisor")

    /// Times are seconds after the parent began to listen.
    private enum Step {
        case judge(Double)
        case probe(Double, ChildHealth.BrokerProbe)
        case hear(Double, isDatabaseUp: Bool = true, milliseconds: Double = 1)
    }

    /// The view after `steps`, and whether the last of them was news.
    private func follow(_ steps: Step..., from view: ChildHealth.View) -> (health: ChildHealth, isNews: Bool) {
        var health = ChildHealth(
            view: view, since: testEpoch - 100, heartbeat: heartbeat(at: testEpoch - 50), watchedFrom: testEpoch)
        var isNews = false
        for step in steps {
            switch step {
            case .judge(let time): isNews = health.judge(at: testEpoch + time)
            case .probe(let time, let broker): isNews = health.note(broker, at: testEpoch + time)
            case .hear(let time, let isDatabaseUp, let milliseconds):
                var heartbeat = heartbeat(at: testEpoch + time)
                heartbeat.isDatabaseUp = isDatabaseUp
                heartbeat.databaseMilliseconds = milliseconds
                isNews = health.hear(heartbeat, at: testEpoch + time)
            }
        }
        return (health, isNews)
    }

    private func heartbeat(at date: Date) -> CellHeartbeat {
        CellHeartbeat(
            cell: testCell, version: "1", sentAt: date, newestSequence: 0, databaseMilliseconds: 1,
            isDatabaseUp: true, conductorsUp: 1, hostsUp: 2, hosts: 2)
    }

    @Test func aParentThatComesBackKeepsWhatItThoughtUntilItCouldHaveHeard() {
        let early = follow(.judge(0), .judge(ChildHealth.silenceLimit), from: Self.up)
        #expect(early.health.view == Self.up && !early.isNews)
        let late = follow(.judge(ChildHealth.silenceLimit + 0.1), from: Self.up)
        #expect(late.health.view == Self.silent && late.isNews)
    }

    @Test func aChildThatWasDownStaysDownForItsReasonUntilItIsHeard() {
        let down = ChildHealth.View(health: .down, reason: "its database does not answer")
        let unheard = follow(.judge(0), .judge(60), from: down)
        #expect(unheard.health.view == down && unheard.health.since == testEpoch - 100 && !unheard.isNews)
        let heard = follow(.judge(60), .hear(61), from: down)
        #expect(heard.health.view == Self.up && heard.health.since == testEpoch + 61 && heard.isNews)
    }

    @Test func silenceIsNoticedAndEnds() {
        #expect(!follow(.hear(1), .judge(3.5), from: Self.up).isNews)
        let silent = follow(.hear(1), .judge(3.6), from: Self.up)
        #expect(silent.health.view == Self.silent && silent.isNews)
        #expect(follow(.hear(1), .judge(3.6), .hear(5), from: Self.up).health.view == Self.up)
    }

    @Test func whoNeedNotBeLookedAtIsWhereTimeAloneChangesNothing() {
        #expect(!follow(.judge(0), from: Self.up).health.isCalm(at: testEpoch))
        var health = follow(.hear(1), .hear(1.2, isDatabaseUp: false), from: Self.up).health
        for tenth in 12...60 {
            let seconds = Double(tenth) / 10 + 0.05
            let now = testEpoch + seconds
            let isCalm = health.isCalm(at: now)
            #expect(isCalm == (seconds < 1.2 + ChildHealth.doubtLimit))
            let known = health
            let isNews = health.judge(at: now)
            if isCalm { #expect(!isNews && health == known) }
        }
        var other = heartbeat(at: testEpoch + 6)
        other.supervisor = "2"
        _ = health.hear(other, at: testEpoch + 6)
        #expect(health.isCalm(at: testEpoch + 6.5), "the one that fell silent long ago counts no more")
        other.supervisor = "3"
        _ = health.hear(other, at: testEpoch + 7)
        #expect(!health.isCalm(at: testEpoch + 7.6), "one of two is doubtful")
    }

    @Test(arguments: [
        (ChildHealth.BrokerProbe.answers, "its supervisor is silent"),
        (.silent, "its message broker takes no messages"), (.unreachable, "its message broker can't be reached"),
    ])
    func aProbeOfTheBrokerGivesSilenceItsReason(_ broker: ChildHealth.BrokerProbe, _ reason: String) {
        // A broker that answers, or not, is no reason while heartbeats come, nor is an old probe for a new silence.
        #expect(!follow(.hear(1), .probe(2, broker), from: Self.up).isNews)
        let before = follow(.hear(1), .probe(3, broker), .judge(3.6), from: Self.up)
        #expect(before.health.view == ChildHealth.View(health: .down, reason: reason))
        let after = follow(.hear(1), .judge(3.6), .probe(4, broker), from: Self.up)
        #expect(after.health.view == ChildHealth.View(health: .down, reason: reason) && after.isNews)
        #expect(after.health.since == testEpoch + 3.6, "it is the same outage")
        #expect(follow(.hear(1), .probe(3, broker), .hear(4), .judge(6.6), from: Self.up).health.view == Self.silent)
    }

    @Test func theDatabaseDecidesBetweenUpSlowAndDown() {
        let slow = follow(.hear(1, milliseconds: 501), from: Self.up).health.view
        #expect(slow == ChildHealth.View(health: .slow, reason: "its database is slow"))
        let down = follow(.hear(1, isDatabaseUp: false), from: Self.up).health.view
        #expect(down == ChildHealth.View(health: .down, reason: "its database does not answer"))
    }

    @Test func ofSeveralSupervisorsOneThatIsWellIsEnough() {
        var health = ChildHealth(view: Self.up, since: testEpoch, heartbeat: nil, watchedFrom: testEpoch)
        var (well, cutOff) = (heartbeat(at: testEpoch + 1), heartbeat(at: testEpoch + 1))
        well.supervisor = "b"
        cutOff.supervisor = "a"
        cutOff.isDatabaseUp = false
        cutOff.hostsUp = 0
        _ = health.hear(well, at: testEpoch + 1)
        var news = 0
        for step in 1...8 {
            let now = testEpoch + 1 + Double(step) * 0.5
            for (index, var beat) in [cutOff, well].enumerated() {
                beat.sentAt = now + Double(index) * 0.1
                if health.hear(beat, at: beat.sentAt) { news += 1 }
                #expect(health.view == Self.up)
            }
        }
        #expect(news == 0, "what the other says is no news")
        #expect(health.heartbeat?.supervisor == "b")
        // The one that is well falls silent.
        for step in 1...8 {
            cutOff.sentAt = testEpoch + 5.1 + Double(step) * 0.5
            _ = health.hear(cutOff, at: cutOff.sentAt)
        }
        #expect(health.view == ChildHealth.View(health: .down, reason: "its database does not answer"))
    }

    @Test func ofSeveralSupervisorsAlwaysTheSameIsBelieved() {
        var health = ChildHealth(view: Self.up, since: testEpoch, heartbeat: nil, watchedFrom: testEpoch)
        var news = 0
        for step in 1...12 {
            for (index, name) in ["a", "b"].enumerated() {
                var beat = heartbeat(at: testEpoch + Double(step) * 0.5 + Double(index) * 0.2)
                beat.supervisor = name
                beat.version = "version of \(name)"
                if health.hear(beat, at: beat.sentAt) { news += 1 }
            }
        }
        #expect(news == 1, "the first is news")
        #expect(health.heartbeat?.version == "version of a")
        // It ends: what the other says is believed once it has been silent long enough.
        var last = heartbeat(at: testEpoch + 9)
        last.supervisor = "b"
        last.version = "version of b"
        let isNews = health.hear(last, at: last.sentAt)
        #expect(isNews && health.heartbeat?.version == "version of b")
    }

    @Test func anOlderHeartbeatThatComesLaterUndoesNothingUnlessAClockWasSetBack() {
        var health = ChildHealth(view: Self.up, since: testEpoch, heartbeat: nil, watchedFrom: testEpoch)
        var newer = heartbeat(at: testEpoch + 2)
        newer.hosts = 7
        let isNews = health.hear(newer, at: testEpoch + 2)
        let isOldNews = health.hear(heartbeat(at: testEpoch + 1), at: testEpoch + 2)
        #expect(isNews && !isOldNews && health.heartbeat?.hosts == 7)
        let isNewsAfterReset = health.hear(heartbeat(at: testEpoch - 3600), at: testEpoch + 3)
        #expect(isNewsAfterReset && health.heartbeat?.hosts == 2)
    }
}
