import HeapModule
import Primitives
import Synchronization

/// Runs every job of a simulation on one thread, one at a time, in an order that its seed chooses. Time is its own: it
/// stands still while there is something to do, and then moves on to whatever is due next.
///
/// All that runs is below one task that prefers this executor; child tasks and the jobs of actors follow it, so nothing of
/// a run happens elsewhere, and the same seed gives the same run.
package final class SeededExecutor: TaskExecutor {
    package enum End: Sendable, Equatable {
        case over
        /// Somebody waits for what will never come.
        case stuck
        /// More jobs than a run may have.
        case endless
    }

    private struct Timer: Comparable, Sendable {
        let at: Duration
        let number: Int
        static func < (left: Timer, right: Timer) -> Bool { (left.at, left.number) < (right.at, right.number) }
    }

    private struct State: Sendable {
        var ready: [UnownedJob] = []
        var timers = Heap<Timer>()
        var sleepers: [Int: CheckedContinuation<Void, any Error>] = [:]
        var lastNumber = 0
        var now: Duration = .zero
        var chance: SplitMix
        var jobs = 0
        /// Of every choice that was made.
        var digest: UInt64 = 0xCBF2_9CE4_8422_2325
    }

    private let state: Mutex<State>

    package init(seed: UInt64) { state = Mutex(State(chance: SplitMix(seed: seed))) }

    /// Since the beginning.
    package var now: Duration { state.withLock(\.now) }
    package var jobs: Int { state.withLock(\.jobs) }
    /// Two runs with the same digest made the same choices.
    package var digest: UInt64 { state.withLock(\.digest) }

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        state.withLock { $0.ready.append(job) }
    }

    /// Runs jobs on the calling thread until it is over.
    package func run(jobLimit: Int, until isOver: () -> Bool) -> End {
        let executor = asUnownedTaskExecutor()
        var jobs = 0
        while !isOver() {
            guard jobs < jobLimit else { return .endless }
            if let job = take() {
                job.runSynchronously(on: executor)
                jobs += 1
            } else if !passTime() {
                return .stuck
            }
        }
        return .over
    }

    private func take() -> UnownedJob? {
        state.withLock { state in
            guard !state.ready.isEmpty else { return nil }
            let count = UInt64(state.ready.count)
            let place = count == 1 ? 0 : state.chance.next() % count
            state.jobs += 1
            state.digest = (state.digest ^ (place &+ count << 32)) &* 0x100_0000_01B3
            state.ready.swapAt(Int(place), state.ready.count - 1)
            return state.ready.popLast()
        }
    }

    /// Wakes whoever is due next. False when nobody sleeps.
    private func passTime() -> Bool {
        let (woken, isAny) = state.withLock { state -> ([CheckedContinuation<Void, any Error>], Bool) in
            var woken: [CheckedContinuation<Void, any Error>] = []
            while let next = state.timers.min {
                if !woken.isEmpty, next.at > state.now { break }
                state.timers.removeMin()
                guard let sleeper = state.sleepers.removeValue(forKey: next.number) else { continue }
                state.now = max(state.now, next.at)
                woken.append(sleeper)
            }
            return (woken, !woken.isEmpty)
        }
        for sleeper in woken { sleeper.resume() }
        return isAny
    }

    /// Sleeps until that time. Throws when cancelled.
    func sleep(until deadline: Duration) async throws {
        let number = state.withLock { state in
            state.lastNumber += 1
            return state.lastNumber
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let isOver = state.withLock { state in
                    guard !Task.isCancelled, deadline > state.now else { return true }
                    state.sleepers[number] = continuation
                    state.timers.insert(Timer(at: deadline, number: number))
                    return false
                }
                guard isOver else { return }
                if Task.isCancelled {
                    continuation.resume(throwing: CancellationError())
                } else {
                    continuation.resume()
                }
            }
        } onCancel: {
            let sleeper = state.withLock { $0.sleepers.removeValue(forKey: number) }
            sleeper?.resume(throwing: CancellationError())
        }
    }
}
