import CellProtocol
import CloudModel
import Logging
import Primitives
import ServerLifecycle

/// Writes down how children are: all that changed meanwhile in one transaction, and again until it is written. However
/// many change at once, one session of the database is in use.
final class HealthRecorder: Sendable {
    private struct Pending {
        var standings: [CellPath: CellStanding] = [:]
        /// Counts what was forgotten.
        var era = 0
    }

    private let write: @Sendable ([CellStanding]) async throws -> Void
    private let clock: any Clock<Duration>
    private let logger: Logger
    /// Told when children that are not down are written down, so that what waits for them goes out at once.
    private let onUp: @Sendable () -> Void
    private let pending = Mutexed(Pending())
    private let nudge = Nudge()

    /// - Parameter write: writes each cell's health down, all or none.
    init(
        clock: any Clock<Duration>, logger: Logger, onUp: @escaping @Sendable () -> Void,
        write: @escaping @Sendable ([CellStanding]) async throws -> Void
    ) {
        self.write = write
        self.clock = clock
        self.logger = logger
        self.onUp = onUp
    }

    /// Takes the newest word on a child; returns at once.
    func note(_ standing: CellStanding) {
        pending.withLock { $0.standings[standing.path] = standing }
        nudge.signal()
    }

    /// What is not written yet is not this supervisor's to say any more.
    func forget() {
        pending.withLock { pending in
            pending.standings = [:]
            pending.era += 1
        }
    }

    /// Until cancelled.
    func run() async throws {
        while !Task.isCancelled {
            await nudge.wait()
            let (standings, era) = pending.withLock { pending in
                defer { pending.standings = [:] }
                return (pending.standings, pending.era)
            }
            guard !standings.isEmpty else { continue }
            do {
                try await write(standings.values.sorted { $0.path < $1.path })
                if standings.values.contains(where: { $0.health != .down }) { onUp() }
            } catch {
                logger.warning(
                    "health is not recorded yet",
                    metadata: ["cells": "\(standings.count)", "error": "\(ErrorChain(error))"])
                // What came meanwhile is newer.
                pending.withLock { pending in
                    if pending.era == era { pending.standings.merge(standings) { newer, _ in newer } }
                }
                nudge.signal()
                try await clock.sleep(for: ChildWatcher.retryDelay)
            }
        }
    }
}
