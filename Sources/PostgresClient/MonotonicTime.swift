import Glibc

/// Nanoseconds on the machine's monotonic clock: what deadlines inside the client are kept in.
struct MonotonicTime: Comparable, Sendable {
    static let distantFuture = MonotonicTime(nanoseconds: .max)

    let nanoseconds: UInt64

    static func now() -> MonotonicTime {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return MonotonicTime(nanoseconds: UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec))
    }

    func advanced(by duration: Duration) -> MonotonicTime {
        let (sum, overflow) = nanoseconds.addingReportingOverflow(duration.wholeNanoseconds)
        return overflow ? .distantFuture : MonotonicTime(nanoseconds: sum)
    }

    /// Milliseconds from `earlier`, rounded up, at most `limit`.
    func milliseconds(since earlier: MonotonicTime, limit: Int32) -> Int32 {
        guard self > earlier else { return 0 }
        let wait = (nanoseconds - earlier.nanoseconds) / 1_000_000 + 1
        return wait > UInt64(limit) ? limit : Int32(wait)
    }

    static func < (left: Self, right: Self) -> Bool { left.nanoseconds < right.nanoseconds }
}

extension Duration {
    /// Clamped to what fits; negative durations are zero.
    var wholeNanoseconds: UInt64 {
        let parts = components
        guard parts.seconds >= 0, parts.attoseconds >= 0 else { return 0 }
        let (whole, overflow) = UInt64(parts.seconds).multipliedReportingOverflow(by: 1_000_000_000)
        return overflow ? .max : whole.addingReportingOverflow(UInt64(parts.attoseconds / 1_000_000_000)).partialValue
    }

    var wholeMilliseconds: UInt64 { wholeNanoseconds / 1_000_000 }
}
