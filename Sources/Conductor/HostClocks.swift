import FoundationEssentials
import Synchronization

/// What hosts' own clocks say, told in the cell's time: a host whose clock is wrong reports as well as any other.
///
/// A message is under way for a moment at least, so the smallest difference between its arrival here and its time there is how far
/// the host's clock is off. Times are never later than the arrival.
final class HostClocks: Sendable {
    /// Heartbeats that are remembered of each host: a clock that was set right is believed after as many.
    static let window = 8
    /// What operators are told of (seconds).
    static let tolerance: TimeInterval = 5

    private struct Host {
        var differences: [TimeInterval] = []
        var isTold = false
    }

    private let hosts = Mutex<[String: Host]>([:])

    /// Learns from a heartbeat that arrives now.
    /// - Returns: how far the host's clock is off (seconds, ahead is positive), when that is much and was not told yet.
    func learn(_ sentAt: Date, from hostKey: String, now: Date) -> TimeInterval? {
        hosts.withLock { hosts in
            var host = hosts[hostKey] ?? Host()
            defer { hosts[hostKey] = host }
            if host.differences.count == Self.window { host.differences.removeFirst() }
            host.differences.append(now.timeIntervalSince(sentAt))
            let ahead = -(host.differences.min() ?? 0)
            let isOff = abs(ahead) > Self.tolerance
            defer { host.isTold = isOff }
            return isOff && !host.isTold ? ahead : nil
        }
    }

    /// When it was in the cell's time.
    func time(_ time: Date, from hostKey: String, now: Date) -> Date {
        let known = hosts.withLock { $0[hostKey]?.differences.min() }
        let own = now.timeIntervalSince(time)
        // A report may have waited for long; a clock that is ahead shows at once.
        return time + min(known ?? 0, own)
    }
}
