import Primitives
import SimulationKit
import Synchronization
import Testing

/// What a simulation rests on: one thread, an order that is the seed's, and time that passes when nothing else is left.
@Suite struct SeededExecutorTests {
    private final class Notes: Sendable {
        private let lines = Mutex<[String]>([])
        func add(_ line: String) { lines.withLock { $0.append(line) } }
        var all: [String] { lines.withLock { $0 } }
    }

    /// Has a task and all that is below it run on `executor` until it ends or waits for nothing that will come.
    private func run(
        _ executor: SeededExecutor, jobLimit: Int = 10_000, _ body: @escaping @Sendable (VirtualClock) async -> Void
    ) -> SeededExecutor.End {
        let isOver = Mutex(false)
        _ = Task(executorPreference: executor) {
            await body(VirtualClock(executor))
            isOver.withLock { $0 = true }
        }
        return executor.run(jobLimit: jobLimit) { isOver.withLock { $0 } }
    }

    private func order(_ seed: UInt64) -> (lines: [String], digest: UInt64) {
        let executor = SeededExecutor(seed: seed)
        let notes = Notes()
        let end = run(executor) { clock in
            await withTaskGroup(of: Void.self) { group in
                for name in ["a", "b", "c", "d", "e", "f"] {
                    group.addTask {
                        for turn in 1...5 {
                            notes.add("\(name)\(turn)")
                            await Self.step(clock)
                        }
                    }
                }
            }
        }
        #expect(end == .over)
        return (notes.all, executor.digest)
    }

    @Test func theOrderIsTheSeeds() {
        let first = order(1)
        #expect(first.lines.count == 30)
        #expect(first == order(1))
        #expect((2...9).contains { order($0).lines != first.lines })
    }

    @Test func timePassesWhenNothingElseIsLeft() {
        let executor = SeededExecutor(seed: 1)
        let notes = Notes()
        let end = run(executor) { clock in
            await withDiscardingTaskGroup { group in
                for hours in [3, 1, 2] {
                    group.addTask {
                        do {
                            try await clock.sleep(for: .seconds(hours * 3600))
                            notes.add("\(hours)")
                        } catch {
                            notes.add("\(error)")
                        }
                    }
                }
            }
        }
        #expect(end == .over && notes.all == ["1", "2", "3"] && executor.now == .seconds(3 * 3600))
    }

    @Test func whoIsCancelledSleepsNoLonger() {
        let executor = SeededExecutor(seed: 1)
        let notes = Notes()
        let end = run(executor) { clock in
            await withTaskGroup(of: Void.self) { group in
                group.addTask {
                    do {
                        try await clock.sleep(for: .seconds(60))
                    } catch {
                        notes.add("cancelled")
                    }
                }
                group.cancelAll()
            }
        }
        #expect(end == .over && notes.all == ["cancelled"] && executor.now == .zero)
    }

    @Test func whoWaitsForNothingIsStuckAndWhoNeverRestsIsEndless() {
        let nobody = Nudge()
        let executor = SeededExecutor(seed: 1)
        #expect(run(executor) { _ in await nobody.wait() } == .stuck)
        let isRestless = Mutex(true)
        let restless = SeededExecutor(seed: 1)
        let end = run(restless, jobLimit: 100) { clock in
            while isRestless.withLock({ $0 }) { await Self.step(clock) }
        }
        #expect(end == .endless)
        // So that no task is left behind.
        nobody.signal()
        isRestless.withLock { $0 = false }
        for waiting in [executor, restless] { _ = waiting.run(jobLimit: 10) { false } }
    }

    /// Lets the others run.
    private static func step(_ clock: VirtualClock) async {
        do {
            try await clock.sleep(for: .milliseconds(1))
        } catch {
            Issue.record("\(error)")
        }
    }
}
