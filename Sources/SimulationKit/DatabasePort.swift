import CloudModel
import ServerLifecycle

/// A process's connection to its cell's database: every call takes a while, fails while the database is away, and ends
/// with its process, before what it asked for or after.
struct DatabasePort: Sendable {
    /// Of a call, and of its answer, when they take any time at all.
    private static let latency = 1...25

    let cell: CellPath
    let fuse: Fuse
    let weather: Weather
    let clock: VirtualClock

    func call<Result>(
        _ body: () async throws(CellStoreError) -> Result
    ) async throws(CellStoreError) -> Result {
        try await travel()
        guard weather.isDatabaseUp(of: cell) else { throw .unavailable("the database is away") }
        let result = try await body()
        try await travel()
        // It was written, and nobody heard so.
        guard weather.isDatabaseUp(of: cell) else { throw .unavailable("the connection was lost") }
        return result
    }

    func callUntyped<Result>(_ body: () async throws -> Result) async throws -> Result {
        try await travel()
        guard weather.isDatabaseUp(of: cell) else { throw CellStoreError.unavailable("the database is away") }
        let result = try await body()
        try await travel()
        guard weather.isDatabaseUp(of: cell) else { throw CellStoreError.unavailable("the connection was lost") }
        return result
    }

    private func travel() async throws(CellStoreError) {
        do {
            try await fuse.pass()
            if weather.chance(30) { try await clock.sleep(for: weather.milliseconds(Self.latency)) }
            try await fuse.pass()
        } catch {
            throw .cancelled
        }
    }
}
