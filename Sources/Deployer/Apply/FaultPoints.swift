import Glibc
import Synchronization

/// Places in an apply at which a test can have it die, counted from 1: for each step after its line that it begins, after
/// its work, and after its line that it ended. Unless asked for, nothing happens at any.
package struct FaultPoints: Sendable {
    /// Environment variable with the number of the point at which the tool gets SIGKILL from itself.
    package static let variable = "CELLWRIGHT_FAULT_STEP"

    private final class Counter: Sendable {
        let passed = Atomic<Int>(0)
    }

    private let point: Int?
    private let die: @Sendable () throws -> Void
    private let counter = Counter()

    /// - Parameters:
    ///   - point: where `die` is called; `nil` for nowhere.
    ///   - die: ends the process; throws where a test stands in for that.
    package init(at point: Int?, die: @escaping @Sendable () throws -> Void = FaultPoints.kill) {
        self.point = point
        self.die = die
    }

    package init(environment: [String: String]) {
        self.init(at: environment[Self.variable].flatMap { Int($0) })
    }

    package static let none = FaultPoints(at: nil)

    /// How many points there were so far.
    package var passed: Int { counter.passed.load(ordering: .acquiring) }

    func pass() throws {
        let number = counter.passed.add(1, ordering: .acquiringAndReleasing).newValue
        if number == point { try die() }
    }

    /// As a power failure would: no handler runs, nothing is written or closed.
    package static let kill: @Sendable () throws -> Void = { Glibc.kill(getpid(), SIGKILL) }
}
