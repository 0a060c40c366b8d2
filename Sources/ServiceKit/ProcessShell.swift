import CMalloc
package import Logging
package import ServiceLifecycle
import Metrics
import UnixSignals

#if canImport(Glibc)
    import Glibc
#endif

/// What every service process has around it: log, metrics, health, signals. Made once, in an executable's `main`.
package struct ProcessShell: Sendable {
    /// The release, as commands say it.
    package static let version = ExecutableVersion.release
    /// A process ends this long after SIGTERM at the latest.
    package static let gracePeriod: Duration = .seconds(10)

    package let logger: Logger
    package let metrics: PrometheusRegistry
    package let health: HealthRegistry
    /// The release and the executable, as the process tells its parent: ``ExecutableVersion``.
    package let version: String

    /// Sets up logging and metrics for the process. `CELLWRIGHT_LOG_LEVEL` chooses the level (default info).
    /// - Parameter fixed: what every log line carries, such as `cell`.
    package init(service: String, fixed: Logger.Metadata = [:]) {
        let level = getenv("CELLWRIGHT_LOG_LEVEL").flatMap { Logger.Level(rawValue: String(cString: $0)) } ?? .info
        var metadata = fixed
        metadata["service"] = .string(service)
        let constant = metadata
        LoggingSystem.bootstrap { label in
            var handler = JSONLogHandler(label: label, fixed: constant)
            handler.logLevel = level
            return handler
        }
        metrics = PrometheusRegistry()
        MetricsSystem.bootstrap(metrics)
        health = HealthRegistry()
        version = ExecutableVersion.current()
        logger = Logger(label: service)
        // A peer that closed its socket is an error on that call, never the end of the process.
        signal(SIGPIPE, SIG_IGN)
        // Large blocks go back to the system when they are freed. Left alone, glibc raises this bound to the largest
        // block it has seen, and then keeps what a few log-ins took (16 MiB each): 32 MiB of 60 in the API, measured.
        // A page of servers (200 KiB) passes through several blocks, which are taken from what is free already.
        mallopt(M_MMAP_THRESHOLD, 1 << 20)
        mallopt(M_TRIM_THRESHOLD, 2 << 20)
    }

    /// Runs services until one fails or SIGTERM or SIGINT comes; then all end gracefully, in reverse order.
    package func run(_ services: [any Service]) async throws {
        logger.notice("starting", metadata: ["version": .string(version)])
        var configuration = ServiceGroupConfiguration(
            services: ([MemoryKeeper(clock: ContinuousClock())] + services).map {
                .init(
                    service: $0, successTerminationBehavior: .gracefullyShutdownGroup,
                    failureTerminationBehavior: .gracefullyShutdownGroup)
            },
            gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
        configuration.maximumGracefulShutdownDuration = .seconds(8)
        configuration.maximumCancellationDuration = .seconds(1)
        do {
            try await ServiceGroup(configuration: configuration).run()
        } catch is CancellationError {
            // the ordinary end of a group whose services were cancelled
        }
        logger.notice("stopped")
    }
}
