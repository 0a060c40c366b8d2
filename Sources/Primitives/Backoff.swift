/// Jittered exponential back-off: the wait before attempt `n` is drawn from `[base, min(cap, base * 2^n)]`.
///
/// Source: "full jitter with a floor"; the floor keeps a refused port from being dialled in a tight loop.
package struct Backoff: Sendable, Equatable {
    package let base: Duration
    package let cap: Duration

    /// - Parameter cap: unless given, so short that everything is current again within 5 s of a fault's end.
    package init(base: Duration = .milliseconds(100), cap: Duration = .seconds(2)) {
        precondition(base > .zero && cap >= base, "a back-off needs 0 < base <= cap")
        self.base = base
        self.cap = cap
    }

    /// The wait before attempt `attempt` (0 for the first repeat).
    package func delay(attempt: Int, using generator: inout some RandomNumberGenerator) -> Duration {
        let exponent = min(max(attempt, 0), 30)
        let ceiling = min(cap, base * (1 << exponent))
        let spread = (ceiling - base) / .milliseconds(1)
        guard spread >= 1 else { return base }
        return base + .milliseconds(Int64.random(in: 0...Int64(spread), using: &generator))
    }
}
