import FoundationEssentials
package import Logging
package import Primitives

/// Does something again, with a growing wait, until its task is cancelled.
package struct RetryLoop: Sendable {
    /// Who lived this long (seconds) begins with the shortest wait again.
    private static let steadyAfter = 60.0

    private let clock: any Clock<Duration>
    private let wallClock: any WallClock
    private let ids: any IDSource
    private let logger: Logger

    /// - Parameter ids: where the waits' chance comes from.
    package init(clock: any Clock<Duration>, wallClock: any WallClock, ids: any IDSource, logger: Logger) {
        self.clock = clock
        self.wallClock = wallClock
        self.ids = ids
        self.logger = logger
    }

    /// - Parameter complaint: logged with the error each time `body` fails.
    package func run(_ complaint: Logger.Message, _ body: () async throws -> Void) async {
        let backoff = Backoff()
        var random = ids.chance()
        var attempt = 0
        while !Task.isCancelled {
            let start = wallClock.now()
            do {
                try await body()
            } catch {
                if Task.isCancelled { return }
                logger.warning(complaint, metadata: ["error": "\(ErrorChain(error))"])
            }
            attempt = wallClock.now().timeIntervalSince(start) > Self.steadyAfter ? 0 : attempt + 1
            do {
                try await clock.sleep(for: backoff.delay(attempt: attempt, using: &random))
            } catch {
                // Cancelled: nothing is left to do again.
                return
            }
        }
    }
}
