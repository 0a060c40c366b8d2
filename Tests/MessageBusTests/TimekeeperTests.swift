import Synchronization
import Testing

@testable import MessageBus

struct TimekeeperTests {
    @Test func `what is due is done once, in order, and what is forgotten is not`() {
        let timekeeper = Timekeeper()
        let done = Mutex<[String]>([])
        let note = { @Sendable (name: String) in done.withLock { $0.append(name) } }
        let start = ContinuousClock.now
        for name in ["first", "second"] { _ = timekeeper.after(.seconds(60)) { note(name) } }
        let forgotten = timekeeper.after(.seconds(60)) { note("forgotten") }
        _ = timekeeper.after(.seconds(7200)) { note("late") }
        timekeeper.forget(forgotten)
        timekeeper.fire(at: start)
        #expect(done.withLock { $0 } == [])
        for _ in 1...2 { timekeeper.fire(at: start.advanced(by: .seconds(3600))) }
        #expect(done.withLock { $0 } == ["first", "second"])
    }
}
