/// Who runs and who waits at a ``Bulkhead``, by ticket. Whoever comes is counted in the step in which the bound is looked
/// at, so that of many who come at once no two take the last place.
struct BulkheadPlaces {
    enum Arrival: Equatable {
        case runs
        case waits(ticket: Int)
        case isTurnedAway
    }

    let limit: Int
    let waiting: Int
    private(set) var running = 0
    /// Tickets in the order in which they were drawn.
    private var queue: [Int] = []
    private var lastTicket = 0

    init(limit: Int, waiting: Int) {
        self.limit = limit
        self.waiting = waiting
    }

    mutating func arrive() -> Arrival {
        if running < limit {
            running += 1
            return .runs
        }
        guard queue.count < waiting else { return .isTurnedAway }
        lastTicket += 1
        queue.append(lastTicket)
        return .waits(ticket: lastTicket)
    }

    /// - Returns: the ticket that has the place now, if somebody waited.
    mutating func leave() -> Int? {
        guard !queue.isEmpty else {
            running -= 1
            return nil
        }
        return queue.removeFirst()
    }

    /// - Returns: false when this ticket has got its place already.
    mutating func giveUp(_ ticket: Int) -> Bool {
        guard let index = queue.firstIndex(of: ticket) else { return false }
        queue.remove(at: index)
        return true
    }
}
