/// Runs `body` for at most `limit`, then cancels it and throws what `orElse` makes.
package func withDeadline<Result: Sendable>(
    _ limit: Duration, clock: any Clock<Duration> = ContinuousClock(),
    _ body: @escaping @Sendable () async throws -> Result, orElse: @escaping @Sendable () -> any Error
) async throws -> Result {
    try await withThrowingTaskGroup(of: Result?.self) { group in
        group.addTask { try await body() }
        group.addTask {
            try await clock.sleep(for: limit)
            return nil
        }
        defer { group.cancelAll() }
        guard let first = try await group.next(), let result = first else { throw orElse() }
        return result
    }
}

/// Asks `condition` again every `interval` until it holds, for at most `limit`.
/// - Returns: whether it came to hold.
func poll(
    every interval: Duration, for limit: Duration, clock: ContinuousClock = ContinuousClock(),
    until condition: () async throws -> Bool
) async throws -> Bool {
    let end = clock.now.advanced(by: limit)
    while true {
        if try await condition() { return true }
        guard clock.now.advanced(by: interval) < end else { return false }
        try await clock.sleep(for: interval)
    }
}
