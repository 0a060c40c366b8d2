package import CloudModel
import FoundationEssentials
package import Logging
package import Primitives
import ServiceLifecycle

/// Clears away what crashes left: uploads without anybody behind them, files without an image.
package struct ImageJanitor: Service {
    /// Between rounds.
    private static let pause: Duration = .seconds(300)
    /// A file without an image is left alone this long: its upload may be about to end.
    private static let fileAgeSeconds = 3600.0

    private let repository: any ImageRepository
    private let store: ImageStore
    private let wallClock: any WallClock
    private let clock: any Clock<Duration>
    private let logger: Logger

    package init(
        repository: any ImageRepository, store: ImageStore, wallClock: any WallClock, clock: any Clock<Duration>,
        logger: Logger
    ) {
        self.repository = repository
        self.store = store
        self.wallClock = wallClock
        self.clock = clock
        self.logger = logger
    }

    package func run() async throws {
        await cancelWhenGracefulShutdown {
            do {
                while !Task.isCancelled {
                    await round()
                    try await clock.sleep(for: Self.pause)
                }
            } catch {
                // cancelled in its sleep
            }
        }
    }

    /// One round; what fails is tried again in the next.
    func round() async {
        do {
            let uploads = try await repository.abortExpired(now: wallClock.now())
            let limit = wallClock.now().addingTimeInterval(-Self.fileAgeSeconds)
            let files = try await store.files(before: limit)
            let known = try await repository.known(files: files)
            let orphans = files.filter { !known.contains($0) }
            for name in orphans { try await store.remove(name) }
            guard uploads > 0 || !orphans.isEmpty else { return }
            logger.notice(
                "cleared left-overs of uploads",
                metadata: ["uploads": .stringConvertible(uploads), "files": .stringConvertible(orphans.count)])
        } catch {
            logger.warning("can't clear left-overs of uploads", metadata: ["error": "\(ErrorChain(error))"])
        }
    }
}
