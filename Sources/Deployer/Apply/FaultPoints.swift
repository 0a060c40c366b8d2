import Glibc
import Synchronization

/// Places in an apply at which a test can have it die: each step passes one of each ``Moment``. Unless asked for, nothing
/// happens at any.
package struct FaultPoints: Sendable {
    /// Environment variable that says where the tool gets SIGKILL from itself: at the so many-th place of all (`3`), or at
    /// the so many-th of one moment (`done:1`). Counted from 1.
    package static let variable = "CELLWRIGHT_FAULT_STEP"

    package enum Moment: String, CaseIterable, Sendable {
        /// The journal has the line that the step begins.
        case begun
        /// The work is done and not noted.
        case done
        /// The journal has the line that the step ended.
        case noted
    }

    private final class Counter: Sendable {
        let passed = Mutex<[Moment: Int]>([:])
    }

    private let point: Int?
    /// `nil` counts all moments.
    private let moment: Moment?
    private let die: @Sendable () throws -> Void
    private let counter = Counter()

    /// - Parameters:
    ///   - point: where `die` is called; `nil` for nowhere.
    ///   - die: ends the process; throws where a test stands in for that.
    package init(
        at point: Int?, of moment: Moment? = nil, die: @escaping @Sendable () throws -> Void = FaultPoints.kill
    ) {
        self.point = point
        self.moment = moment
        self.die = die
    }

    package init(environment: [String: String]) {
        let words = environment[Self.variable]?.split(separator: ":") ?? []
        self.init(at: words.last.flatMap { Int($0) }, of: words.first.flatMap { Moment(rawValue: String($0)) })
    }

    package static let none = FaultPoints(at: nil)

    /// How many points there were so far.
    package var passed: Int { counter.passed.withLock { $0.values.reduce(0, +) } }

    func pass(_ moment: Moment) throws {
        let isThere = counter.passed.withLock { passed in
            passed[moment, default: 0] += 1
            guard let wanted = self.moment else { return passed.values.reduce(0, +) == point }
            return wanted == moment && passed[moment] == point
        }
        if isThere { try die() }
    }

    /// As a power failure would: no handler runs, nothing is written or closed.
    package static let kill: @Sendable () throws -> Void = { Glibc.kill(getpid(), SIGKILL) }
}
