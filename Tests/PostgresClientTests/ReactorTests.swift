import Dispatch
import Synchronization
import TestSupport
import Testing

@testable import PostgresClient

struct ReactorTests {
    /// Keeps the reactor's thread until the answer is signalled, so that whatever is set meanwhile is set together.
    private func hold(_ reactor: Reactor) async -> DispatchSemaphore {
        let gate = DispatchSemaphore(value: 0)
        let isHeld = Mutex(false)
        _ = reactor.schedule(.now()) {
            isHeld.withLock { $0 = true }
            gate.wait()
        }
        #expect(await eventually { isHeld.withLock { $0 } })
        return gate
    }

    @Test func `timers go off in the order of their deadlines`() async {
        let reactor = Reactor()
        let order = Mutex<[Int]>([])
        let gate = await hold(reactor)
        let now = MonotonicTime.now()
        for number in [3, 1, 2] {
            _ = reactor.schedule(now.advanced(by: .milliseconds(20 * number))) { order.withLock { $0.append(number) } }
        }
        gate.signal()
        #expect(await eventually { order.withLock { $0.count } == 3 })
        #expect(order.withLock { $0 } == [1, 2, 3])
        reactor.stop()
    }

    @Test func `a cancelled timer does not go off`() async {
        let reactor = Reactor()
        let fired = Mutex<[String]>([])
        let gate = await hold(reactor)
        let now = MonotonicTime.now()
        let first = reactor.schedule(now.advanced(by: .milliseconds(10))) { fired.withLock { $0.append("first") } }
        if let first { reactor.cancelTimer(first) }
        _ = reactor.schedule(now.advanced(by: .milliseconds(20))) { fired.withLock { $0.append("second") } }
        gate.signal()
        #expect(await eventually { fired.withLock { !$0.isEmpty } })
        #expect(fired.withLock { $0 } == ["second"])
        reactor.stop()
    }

    @Test func `a stopped reactor takes no timers and lets sleepers go`() async {
        let reactor = Reactor()
        let stopped = Mutex(0)
        _ = reactor.atStop { stopped.withLock { $0 += 1 } }
        reactor.stop()
        reactor.stop()
        #expect(reactor.schedule(.now()) {} == nil)
        await reactor.sleep(.seconds(3600))
        #expect(stopped.withLock { $0 } == 1)
    }

    @Test(.timeLimit(.minutes(1))) func `a sleep ends when the reactor stops`() async {
        let thread = PostgresThread()
        let reactor = Reactor(thread)
        await withTaskGroup { group in
            group.addTask { await reactor.sleep(.seconds(3600)) }
            #expect(await eventually { thread.timerCount == 1 })
            reactor.stop()
            await group.waitForAll()
        }
    }

    @Test func `a sleep ends when its task is cancelled`() async {
        let reactor = Reactor()
        await withTaskGroup { group in
            group.addTask { await reactor.sleep(.seconds(3600)) }
            group.cancelAll()
        }
        reactor.stop()
    }

    @Test func `pools that share a thread keep their timers when one of them leaves, and the last one ends it`() async {
        let thread = PostgresThread()
        let (first, second) = (Reactor(thread), Reactor(thread))
        let fired = Mutex<[String]>([])
        let gate = await hold(first)
        let soon = MonotonicTime.now().advanced(by: .milliseconds(10))
        _ = first.schedule(soon) { fired.withLock { $0.append("first") } }
        _ = second.schedule(soon) { fired.withLock { $0.append("second") } }
        first.stop()
        gate.signal()
        #expect(await eventually { fired.withLock { !$0.isEmpty } })
        #expect(fired.withLock { $0 } == ["second"])
        #expect(first.schedule(.now()) {} == nil)
        second.stop()
        #expect(await eventually { !thread.isRunning })
    }

    @Test func `a thread whose pools have all left runs again for the next`() async {
        let thread = PostgresThread()
        let first = Reactor(thread)
        let gate = await hold(first)
        first.stop()
        gate.signal()
        #expect(await eventually { !thread.isRunning })
        let fired = Mutex(false)
        let second = Reactor(thread)
        _ = second.schedule(.now()) { fired.withLock { $0 = true } }
        #expect(await eventually { fired.withLock { $0 } })
        second.stop()
    }

    @Test func `deadlines beyond the clock's range are never`() {
        #expect(MonotonicTime.now().advanced(by: .seconds(Int64.max)) == .distantFuture)
        #expect(MonotonicTime.now().advanced(by: .seconds(-5)) <= MonotonicTime.now())
        #expect(Duration.milliseconds(1500).wholeNanoseconds == 1_500_000_000)
    }
}
