import Primitives
import Synchronization

/// Where a simulated process can be stopped: every port of it asks here before and after.
package final class Fuse: Sendable {
    private enum Condition: Sendable { case running, frozen, dead }

    private let condition = Mutex(Condition.running)
    private let changes = Alarm()

    package init() {}

    var isDead: Bool { condition.withLock { $0 == .dead } }

    /// As SIGKILL: nothing of the process goes on.
    func kill() { set(.dead) }
    /// As SIGSTOP.
    func freeze() { set(.frozen) }
    /// As SIGCONT.
    func thaw() { set(.running) }

    private func set(_ next: Condition) {
        condition.withLock { if $0 != .dead { $0 = next } }
        changes.ring()
    }

    /// Returns at once while the process runs. What is frozen waits here; what is dead never returns, until its task is
    /// cancelled.
    func pass() async throws(CancellationError) {
        while true {
            let rings = changes.rings
            if condition.withLock({ $0 == .running }) { return }
            if Task.isCancelled { throw CancellationError() }
            await changes.wait(after: rings)
        }
    }

    /// Returns when the process is dead; also when cancelled.
    func death() async {
        while true {
            let rings = changes.rings
            if isDead || Task.isCancelled { return }
            await changes.wait(after: rings)
        }
    }
}
