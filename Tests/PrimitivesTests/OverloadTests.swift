import FoundationEssentials
import Synchronization
import Testing

@testable import Primitives

@Suite struct BulkheadPlacesTests {
    @Test("of many who come before anybody has begun to wait, no more wait than may") func bound() {
        var places = BulkheadPlaces(limit: 1, waiting: 2)
        let arrivals = (0..<4).map { _ in places.arrive() }
        #expect(arrivals == [.runs, .waits(ticket: 1), .waits(ticket: 2), .isTurnedAway])
        let next = places.leave()
        #expect(next == 1)
        let later = (0..<2).map { _ in places.arrive() }
        #expect(later == [.waits(ticket: 3), .isTurnedAway])
    }

    @Test func aTicketIsGivenUpOrGetsItsPlaceAndNotBoth() {
        var places = BulkheadPlaces(limit: 1, waiting: 3)
        for _ in 0..<4 { _ = places.arrive() }
        let givenUp = [2, 2].map { places.giveUp($0) }
        #expect(givenUp == [true, false])
        let next = [places.leave(), places.leave(), places.leave()]
        #expect(next == [1, 3, nil] && places.running == 0)
        let late = places.giveUp(1)
        #expect(!late, "it runs")
    }
}

@Suite struct CircuitBreakerTests {
    private static let start = Date(timeIntervalSince1970: 1_790_000_000)

    @Test func itOpensAfterFailuresInARowAndClosesWithAProbe() {
        var breaker = CircuitBreaker()
        let failures = (1..<CircuitBreaker.threshold).map { _ in breaker.failed(at: Self.start) }
        #expect(!failures.contains(true))
        let closedWhileClosed = breaker.succeeded()
        #expect(!closedWhileClosed)
        for _ in 1..<CircuitBreaker.threshold { _ = breaker.failed(at: Self.start) }
        #expect(breaker.letsThrough, "a success in between begins a new row")
        let opened = breaker.failed(at: Self.start)
        #expect(opened && !breaker.letsThrough)

        let later = Self.start + CircuitBreaker.probeInterval
        let probes = [Self.start, later, later].map { breaker.takeProbe(at: $0) }
        #expect(probes == [false, true, false], "one probe at a time, not before it is due")
        #expect(!breaker.letsThrough)
        let openedAgain = breaker.failed(at: later)
        #expect(!openedAgain, "it was open")
        let next = [later, later + CircuitBreaker.probeInterval].map { breaker.takeProbe(at: $0) }
        #expect(next == [false, true])
        let closed = breaker.succeeded()
        #expect(closed && breaker.letsThrough)
    }

    @Test func lateFailuresOfCallsFromBeforeDoNotPutOffTheProbe() {
        var breaker = CircuitBreaker()
        for _ in 0..<CircuitBreaker.threshold { _ = breaker.failed(at: Self.start) }
        let state = breaker.state
        let opened = breaker.failed(at: Self.start + 0.4)
        #expect(!opened && breaker.state == state)
    }
}

@Suite(.timeLimit(.minutes(2))) struct AlarmTests {
    @Test func aRingWakesEverybodyAndIsNotMissedInBetween() async {
        let alarm = Alarm()
        let rings = alarm.rings
        alarm.ring()
        await alarm.wait(after: rings)
        let now = alarm.rings
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<5 { group.addTask { await alarm.wait(after: now) } }
            alarm.ring()
            await group.waitForAll()
        }
        #expect(alarm.rings == now + 1)
    }

    @Test func anActionIsCalledByTheNextRingOnlyAndNotOnceItIsForgotten() {
        let alarm = Alarm()
        let called = Mutex<[String]>([])
        let note = { @Sendable (name: String) in called.withLock { $0.append(name) } }
        let next = alarm.next
        let kept = next.call { note("kept") }
        let forgotten = next.call { note("forgotten") }
        #expect(kept != nil && !next.hasCome && called.withLock { $0 }.isEmpty)
        next.forget(forgotten)
        alarm.ring()
        alarm.ring()
        #expect(next.hasCome && called.withLock { $0 } == ["kept"])
        let late = next.call { note("late") }
        #expect(late == nil && called.withLock { $0 } == ["kept", "late"])
    }

    @Test func waitingEndsWithCancellation() async {
        let alarm = Alarm()
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await alarm.wait(after: alarm.rings) }
            group.cancelAll()
            await group.waitForAll()
        }
    }
}

@Suite struct RecentValuesTests {
    @Test func theLastOnesAreKeptAndTheRestForgotten() {
        var recent = RecentValues<Int, String>(limit: 3)
        for number in 1...7 { recent.keep("\(number)", for: number) }
        // 7 is young, 4 to 6 are old, 1 to 3 are gone.
        let seen = (1...7).map { recent.value($0) }
        #expect(seen == [nil, nil, nil, "4", "5", "6", "7"])
    }

    @Test func whatIsLookedAtStays() {
        var recent = RecentValues<Int, String>(limit: 2)
        recent.keep("kept", for: 0)
        for number in 1...20 {
            recent.keep("other", for: number)
            let kept = recent.value(0)
            #expect(kept == "kept")
        }
        recent.forget(0)
        let gone = recent.value(0)
        #expect(gone == nil)
    }
}
