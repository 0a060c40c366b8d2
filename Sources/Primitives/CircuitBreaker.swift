package import FoundationEssentials

/// Keeps calls away from something that does not answer: opens after a few failures in a row, lets one probe through now
/// and then, closes when one succeeds. Requests are never probes: a loop of the process sends them.
package struct CircuitBreaker: Sendable, Equatable {
    /// Failures in a row that open it.
    package static let threshold = 3
    /// Time between probes (seconds).
    package static let probeInterval: TimeInterval = 0.5

    package enum State: Sendable, Equatable {
        case closed(failures: Int)
        /// No call goes through; the next probe is due at that time.
        case open(probeAt: Date)
        /// A probe is on its way.
        case halfOpen
    }

    package private(set) var state = State.closed(failures: 0)

    package init() {}

    package var letsThrough: Bool {
        switch state {
        case .closed: true
        case .open, .halfOpen: false
        }
    }

    /// - Returns: whether it closed with this.
    package mutating func succeeded() -> Bool {
        let wasClosed = letsThrough
        state = .closed(failures: 0)
        return !wasClosed
    }

    /// - Returns: whether it opened with this.
    package mutating func failed(at now: Date) -> Bool {
        let next = now.addingTimeInterval(Self.probeInterval)
        switch state {
        case .closed(let failures) where failures + 1 < Self.threshold:
            state = .closed(failures: failures + 1)
            return false
        case .closed:
            state = .open(probeAt: next)
            return true
        case .halfOpen:
            state = .open(probeAt: next)
            return false
        case .open: return false
        }
    }

    /// Whether a probe should go out now; whoever is told so sends it and reports how it went.
    package mutating func takeProbe(at now: Date) -> Bool {
        guard case .open(let probeAt) = state, now >= probeAt else { return false }
        state = .halfOpen
        return true
    }
}
