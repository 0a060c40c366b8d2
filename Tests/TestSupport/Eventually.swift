/// Waits until a condition holds, looking again and again; fails when it does not hold within `limit`.
package func eventually(
    _ what: String, within limit: Duration = .seconds(90), _ condition: () async throws -> Bool
) async throws {
    let end = ContinuousClock.now + limit
    while try await !condition() {
        guard ContinuousClock.now < end else { throw ConditionNotMet(what: what, limit: limit) }
        try await Task.sleep(for: .milliseconds(5))
    }
}

package struct ConditionNotMet: Error, CustomStringConvertible {
    package let what: String
    package let limit: Duration
    package var description: String { "waited \(limit) in vain until \(what)" }
}
