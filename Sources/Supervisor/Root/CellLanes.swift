import CloudModel
import Synchronization

/// One queue a cell for what is sent to cells, so that a cell that does not answer delays nothing for the others.
///
/// Bounds: ``runnerLimit`` batches on their way to one cell, ``pendingLimit`` items waiting for it. What comes beyond is
/// left out: it is in the database, and its owner's timer brings it again.
final class CellLanes<Item: Sendable>: Sendable {
    static var runnerLimit: Int { 2 }
    static var pendingLimit: Int { 1000 }

    private struct Lane {
        var pending: [Item] = []
        var runners = 0
    }

    private let lanes = Mutex<[CellPath: Lane]>([:])
    private let batchLimit: Int
    private let starts: AsyncStream<CellPath>
    private let start: AsyncStream<CellPath>.Continuation

    /// - Parameter batchLimit: items sent at once.
    init(batchLimit: Int) {
        self.batchLimit = batchLimit
        (starts, start) = AsyncStream.makeStream(of: CellPath.self)
    }

    /// Queues items for a cell; returns at once.
    func submit(_ items: [Item], to cell: CellPath) {
        let isStartWanted = lanes.withLock { lanes in
            var lane = lanes[cell] ?? Lane()
            lane.pending += items.prefix(max(0, Self.pendingLimit - lane.pending.count))
            let isStartWanted = lane.runners < Self.runnerLimit && !lane.pending.isEmpty
            if isStartWanted { lane.runners += 1 }
            lanes[cell] = lane
            return isStartWanted
        }
        if isStartWanted { start.yield(cell) }
    }

    /// Sends what is submitted until cancelled.
    func run(_ send: @escaping @Sendable ([Item], CellPath) async -> Void) async {
        await withDiscardingTaskGroup { group in
            for await cell in starts {
                group.addTask {
                    while let batch = self.next(for: cell) { await send(batch, cell) }
                }
            }
            group.cancelAll()
        }
    }

    /// Nil when nothing waits: the runner ends with that.
    private func next(for cell: CellPath) -> [Item]? {
        lanes.withLock { lanes in
            guard var lane = lanes[cell] else { return nil }
            guard !lane.pending.isEmpty, !Task.isCancelled else {
                lane.runners -= 1
                lanes[cell] = lane.runners == 0 && lane.pending.isEmpty ? nil : lane
                return nil
            }
            let batch = Array(lane.pending.prefix(batchLimit))
            lane.pending.removeFirst(batch.count)
            lanes[cell] = lane
            return batch
        }
    }
}
