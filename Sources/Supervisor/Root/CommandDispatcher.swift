import CellProtocol
import CloudModel
import FoundationEssentials
import Logging
import MessageBus
import Primitives
import ServerLifecycle

/// Carries accepted requests from the root's outbox to their cells, again and again until the cell has them.
struct CommandDispatcher: Sendable {
    static let batchLimit = 50
    /// A command that got no answer is tried again after this (seconds).
    static let retryAfter: TimeInterval = 5
    /// Time that a cell has to take a command (seconds).
    static let sendLimit: TimeInterval = 5

    let store: any RootStore
    let router: ChildRouter
    let wallClock: any WallClock
    let logger: Logger
    private let lanes = CellLanes<QueuedCommand>(batchLimit: CommandDispatcher.batchLimit)

    init(store: any RootStore, router: ChildRouter, wallClock: any WallClock, logger: Logger) {
        self.store = store
        self.router = router
        self.wallClock = wallClock
        self.logger = logger
    }

    /// Sends what ``turn()`` took, each cell in a lane of its own, until cancelled.
    func sendTaken() async {
        await lanes.run { commands, _ in
            await withTaskGroup(of: Void.self) { group in
                for command in commands { group.addTask { await self.send(command) } }
            }
        }
    }

    /// - Returns: whether more waits.
    func turn() async throws -> Bool {
        let reachable = router.mappings().filter { $0.health != .down }.map(\.path)
        guard !reachable.isEmpty else { return false }
        let now = wallClock.now()
        let commands = try await store.dueCommands(
            cells: reachable, now: now, retryAt: now.addingTimeInterval(Self.retryAfter), limit: Self.batchLimit)
        for (cell, batch) in Dictionary(grouping: commands, by: \.cell) { lanes.submit(batch, to: cell) }
        return commands.count == Self.batchLimit
    }

    private func send(_ command: QueuedCommand) async {
        let caller = Caller(userID: command.userID, projectID: command.projectID, roles: command.roles)
        let context = CellCallContext(
            requestID: command.requestID, caller: caller, deadline: wallClock.now().addingTimeInterval(Self.sendLimit))
        do {
            let reply = try await router.send(
                ActRequest(id: command.serverID, action: command.action), to: command.cell, context: context)
            switch reply {
            case .accepted: try await store.complete(command)
            case .notFound: try await store.completeUnknown(command, now: wallClock.now())
            case .conflict(let message), .badRequest(let message):
                logger.warning(
                    "a cell refuses a command",
                    metadata: ["cell": "\(command.cell)", "server.id": "\(command.serverID)", "error": "\(message)"])
            case .locked:
                logger.warning("a locked server keeps its command", metadata: ["server.id": "\(command.serverID)"])
            }
        } catch {
            logger.debug(
                "a command waits", metadata: ["cell": "\(command.cell)", "error": "\(ErrorChain(error))"])
        }
    }
}
