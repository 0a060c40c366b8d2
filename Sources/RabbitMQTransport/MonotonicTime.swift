import Glibc

/// A point on the machine's monotonic clock, cheap enough to read before every frame.
struct MonotonicTime: Comparable {
    let nanoseconds: UInt64

    static var now: MonotonicTime {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return MonotonicTime(nanoseconds: UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec))
    }

    static let never = MonotonicTime(nanoseconds: .max)

    static func < (left: Self, right: Self) -> Bool { left.nanoseconds < right.nanoseconds }

    static func + (time: Self, duration: Duration) -> Self {
        let (seconds, attoseconds) = duration.components
        guard seconds >= 0 else { return time }
        let (whole, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
        let (sum, overflow2) = time.nanoseconds.addingReportingOverflow(whole)
        let (total, overflow3) = sum.addingReportingOverflow(UInt64(max(attoseconds, 0) / 1_000_000_000))
        return overflow || overflow2 || overflow3 ? .never : MonotonicTime(nanoseconds: total)
    }

    func since(_ earlier: Self) -> Duration {
        .nanoseconds(Int64(clamping: nanoseconds - min(nanoseconds, earlier.nanoseconds)))
    }
}
