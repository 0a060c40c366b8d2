import Primitives
import Synchronization
import TestSupport
import Testing

@testable import MessageBus

@Suite(.timeLimit(.minutes(1))) struct MailboxTests {
    private static let limit = 3

    /// What was done with elements. The first ones wait until all places are taken.
    private final class Work: Sendable {
        struct State {
            var running = 0
            var most = 0
            var done: Set<Int> = []
        }

        let state = Mutex(State())
        let started = Nudge()
        private let gates = (0..<limit).map { _ in Nudge() }

        /// - Returns: how many have ended now.
        func take(_ element: Int) async -> Int {
            let running = state.withLock { state in
                state.running += 1
                state.most = max(state.most, state.running)
                return state.running
            }
            if element < limit {
                if running == limit { for gate in gates { gate.signal() } }
                await gates[element].wait()
            }
            return end(element)
        }

        /// - Returns: how many have ended now.
        func end(_ element: Int) -> Int {
            state.withLock { state in
                state.running -= 1
                state.done.insert(element)
                return state.done.count
            }
        }
    }

    @Test("every element is dealt with, as many at once as are allowed and no more")
    func bound() async throws {
        let elements = 100
        let mailbox = Mailbox<Int>()
        let work = Work()
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                await mailbox.forEach(limit: Self.limit) { element in
                    if await work.take(element) == elements { mailbox.finish() }
                }
            }
            for element in 0..<elements { mailbox.push(element) }
        }
        #expect(work.state.withLock { $0.done } == Set(0..<elements))
        #expect(work.state.withLock { $0.most } == Self.limit)
    }

    @Test("a receiver that is cancelled while every place is taken ends when those in hand have ended")
    func cancelled() async throws {
        let mailbox = Mailbox<Int>()
        let work = Work()
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                await mailbox.forEach(limit: 1) { element in
                    work.started.signal()
                    // Until it is cancelled.
                    await Nudge().wait()
                    _ = work.end(element)
                }
            }
            for element in 0..<3 { mailbox.push(element) }
            await work.started.wait()
            group.cancelAll()
        }
        #expect(work.state.withLock { $0.done } == [0])
    }
}
