import CellProtocol
import CloudModel
import FoundationEssentials
import Logging
import PlacementCore
import Primitives
import ServerLifecycle

/// Places waiting servers on hosts and sends them to the hosts' cells until these have them.
struct BuildScheduler: Sendable {
    /// Servers placed in one transaction.
    static let batchLimit = 50
    /// A build that was placed this long ago and not acknowledged is sent again (seconds).
    static let resendAfter: TimeInterval = 5
    /// Time that a cell has to take a batch (seconds).
    static let sendLimit: TimeInterval = 5
    /// A build that was sent before, to a cell that is down since, is kept for it for so long (seconds): it may have it.
    static let keepLimit: TimeInterval = 60

    /// A build on its way to its cell.
    struct Order: Sendable {
        var build: PlacedBuild
        /// Whether the cell may have it already.
        var isRepeat: Bool
    }

    let store: any RootStore
    let router: ChildRouter
    let wallClock: any WallClock
    let ids: any IDSource
    let logger: Logger
    private let lanes = CellLanes<Order>(batchLimit: BuildScheduler.batchLimit)

    init(
        store: any RootStore, router: ChildRouter, wallClock: any WallClock, ids: any IDSource, logger: Logger
    ) {
        self.store = store
        self.router = router
        self.wallClock = wallClock
        self.ids = ids
        self.logger = logger
    }

    /// Sends what ``turn()`` placed, each cell in a lane of its own, until cancelled.
    func sendPlaced() async {
        await lanes.run { orders, cell in await self.send(orders, to: cell) }
    }

    /// - Returns: whether more waits.
    func turn() async throws -> Bool {
        let now = wallClock.now()
        let placements = try await store.place(limit: Self.batchLimit, now: now) { [ids] pending, snapshot in
            var random = ids.chance()
            return CandidatePlanner().plan(pending.map(\.request), on: snapshot, using: &random)
        }
        submit(placements.placed, isRepeat: false)
        let overdue = try await store.unacknowledged(
            before: now.addingTimeInterval(-Self.resendAfter), now: now,
            retryAt: now.addingTimeInterval(Self.resendAfter), limit: Self.batchLimit)
        submit(overdue, isRepeat: true)
        return placements.hasMore
    }

    private func submit(_ builds: [PlacedBuild], isRepeat: Bool) {
        for (cell, batch) in Dictionary(grouping: builds, by: \.cell) {
            lanes.submit(batch.map { Order(build: $0, isRepeat: isRepeat) }, to: cell)
        }
    }

    private func send(_ orders: [Order], to cell: CellPath) async {
        let builds = orders.map(\.build)
        let context = CellCallContext(
            requestID: builds.first?.specification.requestID ?? "-", caller: nil,
            deadline: wallClock.now().addingTimeInterval(Self.sendLimit))
        do {
            let reply = try await router.send(
                BuildRequest(builds: builds.map(\.specification)), to: cell, context: context)
            let accepted = Set(reply.accepted)
            try await store.acknowledge(builds.filter { accepted.contains($0.specification.instance.id) })
            for refusal in reply.refused {
                guard let build = builds.first(where: { $0.specification.instance.id == refusal.id }) else { continue }
                try await store.refuse(build, reason: refusal.reason, now: wallClock.now())
            }
        } catch CellError.unreachable {
            // Known to be down before anything was sent: another host, in another cell, can have them.
            let now = wallClock.now()
            for order in orders where !order.isRepeat || isOld(order.build, at: now) {
                await giveBack(order.build, reason: "cell \(cell) is down")
            }
        } catch {
            // It may have them. They are sent again, the same to the same cell, until it says so.
            logger.warning(
                "builds are not acknowledged yet", metadata: ["cell": "\(cell)", "error": "\(ErrorChain(error))"])
        }
    }

    /// Whether its cell has been waited for long enough. A server is stamped when it is placed.
    private func isOld(_ build: PlacedBuild, at now: Date) -> Bool {
        now.timeIntervalSince(build.specification.instance.updatedAt) >= Self.keepLimit
    }

    private func giveBack(_ build: PlacedBuild, reason: String) async {
        do {
            try await store.giveBack(build, reason: reason, now: wallClock.now())
        } catch {
            logger.warning("a claim is not given back yet", metadata: ["error": "\(ErrorChain(error))"])
        }
    }
}
