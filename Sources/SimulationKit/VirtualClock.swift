package import FoundationEssentials
import Primitives

/// A process's clock in a simulation: it moves with the executor's time, and whoever is frozen wakes when thawed.
package struct VirtualClock: Clock {
    package struct Instant: InstantProtocol, Sendable {
        package var offset: Swift.Duration

        package func advanced(by duration: Swift.Duration) -> Instant { Instant(offset: offset + duration) }
        package func duration(to other: Instant) -> Swift.Duration { other.offset - offset }
        package static func < (left: Instant, right: Instant) -> Bool { left.offset < right.offset }
    }

    private let executor: SeededExecutor
    private let fuse: Fuse?

    package init(_ executor: SeededExecutor, fuse: Fuse? = nil) {
        self.executor = executor
        self.fuse = fuse
    }

    package var now: Instant { Instant(offset: executor.now) }
    package var minimumResolution: Swift.Duration { .nanoseconds(1) }

    package func sleep(until deadline: Instant, tolerance: Swift.Duration?) async throws {
        try await executor.sleep(until: deadline.offset)
        try await fuse?.pass()
    }
}

/// Calendar time in a simulation.
package struct VirtualWallClock: WallClock {
    /// Before the times of files that a run makes, which are the real world's.
    package static let epoch = Date(timeIntervalSince1970: 1_700_000_000)

    private let executor: SeededExecutor
    /// How far this machine's clock is ahead (seconds).
    private let skew: Double

    package init(_ executor: SeededExecutor, skew: Double = 0) {
        self.executor = executor
        self.skew = skew
    }

    package func now() -> Date {
        let (seconds, attoseconds) = executor.now.components
        return Self.epoch + (Double(seconds) + Double(attoseconds) / 1e18 + skew)
    }
}
