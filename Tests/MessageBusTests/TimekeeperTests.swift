import Synchronization
import Testing

@testable import MessageBus

@Suite(.timeLimit(.minutes(1))) struct TimekeeperTests {
    @Test func `what is due is done once, in order, and what is forgotten is not`() {
        let timekeeper = Timekeeper()
        let done = Mutex<[String]>([])
        let start = timekeeper.now
        func note(_ name: String, after seconds: Int) -> Timekeeper.Ticket {
            timekeeper.at(start.advanced(by: .seconds(seconds))) { done.withLock { $0.append(name) } }
        }
        for (name, seconds) in [("third", 90), ("first", 60), ("second", 60)] { _ = note(name, after: seconds) }
        timekeeper.forget(note("forgotten", after: 60))
        _ = note("late", after: 7200)
        timekeeper.fire(at: start)
        #expect(done.withLock { $0 } == [])
        for _ in 1...2 { timekeeper.fire(at: start.advanced(by: .seconds(3600))) }
        #expect(done.withLock { $0 } == ["first", "second", "third"])
    }

    @Test func `nobody is woken too early, and who comes too late at once`() {
        let timekeeper = Timekeeper()
        let done = Mutex(0)
        let start = timekeeper.now
        let add = { @Sendable in done.withLock { $0 += 1 } }
        _ = timekeeper.at(start.advanced(by: .seconds(60)), add)
        timekeeper.fire(at: start.advanced(by: .milliseconds(59_999)))
        #expect(done.withLock { $0 } == 0)
        timekeeper.fire(at: start.advanced(by: .milliseconds(60_001) + Timekeeper.interval))
        #expect(done.withLock { $0 } == 1)
        _ = timekeeper.at(start, add)
        timekeeper.fire(at: start.advanced(by: .milliseconds(60_001) + Timekeeper.interval * 2))
        #expect(done.withLock { $0 } == 2)
    }

    @Test func `a sleeper wakes when its time has come, or is cancelled`() async throws {
        let timekeeper = Timekeeper()
        let sleeper = Task { try await timekeeper.sleep(for: .seconds(3600)) }
        sleeper.cancel()
        await #expect(throws: CancellationError.self) { try await sleeper.value }
        let running = Task { await timekeeper.run() }
        let start = timekeeper.now
        try await timekeeper.sleep(for: .milliseconds(1))
        #expect(timekeeper.now - start >= .milliseconds(1))
        running.cancel()
        await running.value
    }
}
