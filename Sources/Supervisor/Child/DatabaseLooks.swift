import FoundationEssentials
import ServerLifecycle

/// What a cell's looks at its own database came to, for its heartbeats.
///
/// One look that took long says that the machine was busy at that moment; two in a row say that the database is slow.
/// A look that is not answered says at once that it is down.
struct DatabaseLooks: Sendable, Equatable {
    /// A look that takes longer than this counts as no answer (seconds).
    static let limit: TimeInterval = 1

    /// What the newest look that was answered found.
    private(set) var pulse = CellPulse(newestSequence: 0, conductorsUp: 0, hostsUp: 0, hosts: 0)
    /// When the look that goes on began; `nil` between two.
    private var beganAt: Date?
    /// How long the newest two took, the newest first (seconds).
    private var seconds: [TimeInterval] = []
    /// Whether the newest was answered; nothing is known before the first.
    private var isUp: Bool?

    mutating func begin(at now: Date) { beganAt = now }

    /// - Parameter pulse: what was found, `nil` when the database did not answer.
    mutating func end(with pulse: CellPulse?, at now: Date) {
        seconds = [beganAt.map { now.timeIntervalSince($0) } ?? 0] + seconds.prefix(1)
        beganAt = nil
        isUp = pulse != nil
        if let pulse { self.pulse = pulse }
    }

    /// Whether the database answers, and how long it takes (seconds), of the newest two looks the quicker; `nil` while
    /// nothing is known.
    func state(at now: Date) -> (isUp: Bool, seconds: TimeInterval)? {
        let waited = beganAt.map { now.timeIntervalSince($0) } ?? 0
        if waited > Self.limit { return (false, waited) }
        guard let isUp, let newest = seconds.first else { return nil }
        // The look that goes on is the newest as soon as it has taken longer than the one before.
        return (isUp, max(seconds.min() ?? newest, min(newest, waited)))
    }
}
