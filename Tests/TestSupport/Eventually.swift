/// Polls until `condition` holds. False when it still does not after `limit`.
package func eventually<Failure: Error>(
    within limit: Duration = .seconds(20), _ condition: () async throws(Failure) -> Bool
) async throws(Failure) -> Bool {
    let clock = ContinuousClock()
    let deadline = clock.now + limit
    while clock.now < deadline {
        if try await condition() { return true }
        do { try await clock.sleep(for: .milliseconds(5)) } catch { return false }
    }
    return try await condition()
}
