package import Logging
package import PostgresClient
import Primitives
import ServiceLifecycle

/// Keeps a ``DatabaseClock`` right while the process lives, whatever the machine's clock does.
package struct ClockKeeper: Service {
    /// Between readings, and after one that failed.
    private static let interval = Duration.seconds(30)
    private static let retryInterval = Duration.seconds(1)
    /// A move that operators are told of (seconds): more than clocks drift apart between readings.
    private static let notableMove = 0.5

    private let clock: DatabaseClock
    private let logger: Logger

    package init(_ clock: DatabaseClock, logger: Logger) {
        self.clock = clock
        self.logger = logger
    }

    package func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                let isRead = await read()
                do {
                    try await ContinuousClock().sleep(for: isRead ? Self.interval : Self.retryInterval)
                } catch {
                    return  // cancelled in its sleep
                }
            }
        }
    }

    private func read() async -> Bool {
        do {
            guard let move = try await clock.read() else { return false }
            if abs(move) > Self.notableMove {
                logger.warning(
                    "the clock is set to the database's", metadata: ["clock.moved.seconds": "\(move)"])
            }
            return true
        } catch {
            logger.debug("the database's clock is not read", metadata: ["error": "\(error)"])
            return false
        }
    }
}
