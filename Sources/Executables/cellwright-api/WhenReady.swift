import Primitives
import ServiceLifecycle
import Synchronization

/// Begins a service once what it answers from was read: until then clients wait for their connection instead of being told
/// to come back. After a restart they do for the time of two queries.
struct WhenReady: Service {
    /// A database that does not answer is told to clients, and to the health check, after this long.
    static let limit: Duration = .seconds(5)
    private static let interval: Duration = .milliseconds(5)

    let service: any Service
    let isReady: @Sendable () -> Bool

    func run() async throws {
        let clock = ContinuousClock()
        let end = clock.now + Self.limit
        try await cancelWhenGracefulShutdown {
            while !isReady(), clock.now < end, !Task.isCancelled { try await clock.sleep(for: Self.interval) }
        }
        try await service.run()
    }
}

/// Says once that something has happened.
final class Happened: Sendable {
    private let value = Atomic(false)

    func note() { value.store(true, ordering: .releasing) }

    var isSo: Bool { value.load(ordering: .acquiring) }
}
