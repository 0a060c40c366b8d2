import Logging
import ServiceLifecycle

/// Runs one service as a process does, and asks it to stop as SIGTERM does.
struct GracefulStop: Sendable {
    private let group: ServiceGroup

    init(_ service: any Service) {
        group = ServiceGroup(
            configuration: .init(
                services: [.init(service: service, successTerminationBehavior: .gracefullyShutdownGroup)],
                logger: quiet))
    }

    func run() async throws { try await group.run() }
    func stop() async { await group.triggerGracefulShutdown() }
}
