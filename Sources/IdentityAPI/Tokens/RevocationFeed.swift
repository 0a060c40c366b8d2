package import CloudModel
package import Logging
package import Primitives
import ServiceLifecycle

/// Keeps a ``TokenAuthority`` informed of what other replicas revoke. Runs as long as the API does.
package struct RevocationFeed: Service {
    /// Between attempts to read revocations while the storage is away.
    private static let backoff = Backoff()

    private let authority: TokenAuthority
    private let repository: any RevocationRepository
    private let wallClock: any WallClock
    private let clock: any Clock<Duration>
    private let logger: Logger

    package init(
        authority: TokenAuthority, repository: any RevocationRepository, wallClock: any WallClock,
        clock: any Clock<Duration>, logger: Logger
    ) {
        self.authority = authority
        self.repository = repository
        self.wallClock = wallClock
        self.clock = clock
        self.logger = logger
    }

    package func run() async throws {
        await cancelWhenGracefulShutdown {
            await repository.watchRevocations { change in
                switch change {
                case .reload: await reload()
                case .added(let revocation): authority.revocations.add(revocation, now: wallClock.now())
                }
            }
        }
    }

    /// Until it works: revocations that come meanwhile wait in the watch, behind this.
    private func reload() async {
        var generator = SystemRandomNumberGenerator()
        for attempt in 0... {
            do {
                authority.revocations.replace(with: try await repository.revocations(at: wallClock.now()))
                return
            } catch {
                logger.warning("can't read revocations", metadata: ["error": "\(ErrorChain(error))"])
            }
            do {
                try await clock.sleep(for: Self.backoff.delay(attempt: attempt, using: &generator))
            } catch {
                return  // cancelled
            }
        }
    }
}
