import Dispatch
import Synchronization

/// Runs blocking jobs on few threads of its own, which are started when there is work for them.
final class WorkerPool: Sendable {
    enum Admission: Equatable {
        case accepted
        case full
        case stopped
    }

    private struct State {
        var jobs: [@Sendable () -> Void] = []
        var threads = 0
        /// Threads that wait for a job, or will as soon as they have started.
        var idle = 0
        var isStopped = false
    }

    let threadLimit: Int
    let waitingLimit: Int
    private let name: String
    private let state = Mutex(State())
    /// Counts jobs, and one more for each thread once the pool is stopped.
    private let work = DispatchSemaphore(value: 0)

    init(name: String, threadLimit: Int, waitingLimit: Int) {
        precondition(threadLimit > 0 && waitingLimit >= 0, "a pool needs threads")
        self.name = name
        self.threadLimit = threadLimit
        self.waitingLimit = waitingLimit
    }

    /// Queues a job. A job that was accepted is run, also when the pool is stopped before its turn.
    func submit(_ job: @escaping @Sendable () -> Void) -> Admission {
        let (admission, needsThread) = state.withLock { state -> (Admission, Bool) in
            guard !state.isStopped else { return (.stopped, false) }
            let unclaimed = state.jobs.count - state.idle
            guard unclaimed < waitingLimit + threadLimit - state.threads else { return (.full, false) }
            state.jobs.append(job)
            guard state.idle < state.jobs.count, state.threads < threadLimit else { return (.accepted, false) }
            state.threads += 1
            state.idle += 1
            return (.accepted, true)
        }
        if needsThread { NativeThread.start(name) { [self] in run() } }
        if admission == .accepted { work.signal() }
        return admission
    }

    /// Refuses more jobs; the threads end when the queue is empty.
    func stop() {
        let threads = state.withLock { state -> Int in
            defer { state.isStopped = true }
            return state.isStopped ? 0 : state.threads
        }
        for _ in 0..<threads { work.signal() }
    }

    private func run() {
        while true {
            work.wait()
            let job = state.withLock { state -> (@Sendable () -> Void)? in
                state.idle -= 1
                return state.jobs.isEmpty ? nil : state.jobs.removeFirst()
            }
            guard let job else { return }
            job()
            state.withLock { $0.idle += 1 }
        }
    }
}
