import Primitives
import Synchronization
import TestSupport
import Testing

@testable import MessageBus

@Suite(.timeLimit(.minutes(1))) struct MailboxTests {
    private struct Work {
        var running = 0
        var most = 0
        var done: Set<Int> = []
    }

    @Test("every element is dealt with, as many at once as are allowed and no more")
    func bound() async throws {
        let limit = 3
        let elements = 100
        let mailbox = Mailbox<Int>()
        let work = Mutex(Work())
        let gates = (0..<limit).map { _ in Nudge() }
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                await mailbox.forEach(limit: limit) { element in
                    let running = work.withLock { work in
                        work.running += 1
                        work.most = max(work.most, work.running)
                        return work.running
                    }
                    // The first ones wait until all places are taken.
                    if element < limit {
                        if running == limit { for gate in gates { gate.signal() } }
                        await gates[element].wait()
                    }
                    work.withLock { work in
                        work.running -= 1
                        work.done.insert(element)
                        if work.done.count == elements { mailbox.finish() }
                    }
                }
            }
            for element in 0..<elements { mailbox.push(element) }
        }
        #expect(work.withLock { $0.done } == Set(0..<elements))
        #expect(work.withLock { $0.most } == limit)
    }

    @Test("a receiver that is cancelled while every place is taken ends when those in hand have ended")
    func cancelled() async throws {
        let mailbox = Mailbox<Int>()
        let started = Nudge()
        let done = Mutex<[Int]>([])
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                await mailbox.forEach(limit: 1) { element in
                    started.signal()
                    // Until it is cancelled.
                    await Nudge().wait()
                    done.withLock { $0.append(element) }
                }
            }
            for element in 0..<3 { mailbox.push(element) }
            await started.wait()
            group.cancelAll()
        }
        #expect(done.withLock { $0 } == [0])
    }
}
