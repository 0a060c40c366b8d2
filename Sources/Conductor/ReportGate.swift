import DequeModule
import FoundationEssentials
import Synchronization

/// What one host may send its conductor, whatever it holds: reports of bounded size, so many a second, each once.
///
/// A host that floods is dropped here, before anything of its messages is read, so the others' reports do not wait for
/// it. Nothing that an honest agent says is lost for good: a command without an answer is sent again, and what a host
/// runs is told once a minute.
final class ReportGate: Sendable {
    enum Verdict: Sendable, Equatable {
        case taken
        /// Taken before: sent again by whoever recorded it, or by an agent that did not hear of the first's arrival.
        case repeated
        case tooLarge
        case tooMany
    }

    /// A report's body (bytes). A full heartbeat of two thousand guests is a fifth of it.
    static let bodyLimit = 1024 * 1024
    /// Reports of one host that are let through (a second), and how many may come at once after a pause.
    static let rate = 200.0
    static let burst = 1_000.0
    /// The newest reports of each host that a repeat is recognised among. Older ones say nothing any more: a step's result
    /// counts for its attempt only, and what was seen of a guest counts when it is newer than what is known.
    static let memory = 512

    private struct Host {
        var tokens = ReportGate.burst
        var filledAt: Date
        var seen: Set<UUID> = []
        var order: Deque<UUID> = []

        /// More by the time that has passed; a clock that was set takes none away.
        mutating func refill(at now: Date) {
            tokens = min(ReportGate.burst, tokens + max(0, now.timeIntervalSince(filledAt)) * ReportGate.rate)
            filledAt = now
        }

        mutating func remember(_ id: UUID) {
            seen.insert(id)
            order.append(id)
            if order.count > ReportGate.memory, let oldest = order.popFirst() { seen.remove(oldest) }
        }
    }

    /// By host key, which the broker ties to the sender: no more than the cell has hosts.
    private let hosts = Mutex<[String: Host]>([:])

    /// Whether a report may go on.
    func admit(_ message: UUID, bytes: Int, from hostKey: String, at now: Date) -> Verdict {
        hosts.withLock { hosts in
            var host = hosts[hostKey] ?? Host(filledAt: now)
            defer { hosts[hostKey] = host }
            host.refill(at: now)
            guard host.tokens >= 1 else { return .tooMany }
            host.tokens -= 1
            guard bytes <= Self.bodyLimit else { return .tooLarge }
            guard !host.seen.contains(message) else { return .repeated }
            host.remember(message)
            return .taken
        }
    }

    /// A report that was taken will come again: it could not be dealt with yet.
    func forget(_ message: UUID, from hostKey: String) {
        hosts.withLock { hosts in
            guard hosts[hostKey]?.seen.remove(message) != nil else { return }
            hosts[hostKey]?.order.removeAll { $0 == message }
        }
    }
}
