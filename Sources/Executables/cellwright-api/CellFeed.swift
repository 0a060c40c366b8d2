import CellProtocol
import Logging
import Persistence
import Primitives
import ServerLifecycle
import ServiceLifecycle

/// Keeps the API's picture of the cells: read at start, after every notification, and every few seconds all the same.
struct CellFeed: Service {
    static let interval: Duration = .seconds(5)

    let store: PostgresRootStore
    let router: ChildRouter
    let logger: Logger
    /// Whether the router knows the cells.
    let isRead = Happened()
    private let nudge = Nudge()

    init(store: PostgresRootStore, router: ChildRouter, logger: Logger) {
        self.store = store
        self.router = router
        self.logger = logger
    }

    /// The cells below the root's children; none while the database does not answer.
    static func below(_ store: PostgresRootStore, _ logger: Logger) async -> [CellStatus] {
        do {
            return try await store.cellsBelow()
        } catch {
            logger.warning("cells below branches can't be read", metadata: ["error": "\(ErrorChain(error))"])
            return []
        }
    }

    func run() async throws {
        try await cancelWhenGracefulShutdown {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    for await change in store.changes() where [.cells, .health, .unknown].contains(change) {
                        nudge.signal()
                    }
                }
                group.addTask {
                    while !Task.isCancelled {
                        await router.probe()
                        try await ContinuousClock().sleep(for: .milliseconds(250))
                    }
                }
                group.addTask {
                    while !Task.isCancelled {
                        do {
                            await router.update(try await store.cells())
                            isRead.note()
                        } catch {
                            logger.warning("cell mappings can't be read", metadata: ["error": "\(ErrorChain(error))"])
                        }
                        try await nudge.wait(atMost: Self.interval, clock: ContinuousClock())
                    }
                }
                try await group.next()
                group.cancelAll()
            }
        }
    }
}
