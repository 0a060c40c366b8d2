package import CloudModel

/// Chooses hosts for a batch of servers: filters, then a weigher that spreads. Pure: the claim itself is a transaction
/// elsewhere, which may be lost to another scheduler; then the next candidate is tried.
///
/// Requests that want the same look at all hosts once together: a batch of one kind costs one pass, however large.
package struct CandidatePlanner: Sendable {
    /// Candidates kept for one server: the first and its alternates.
    package static let candidateLimit = 5

    package init() {}

    /// For each request its candidates, best first; empty when no host can take it. Servers planned earlier in the batch
    /// count as placed on their first candidate.
    /// - Parameter generator: breaks ties, so that equal hosts share the load.
    package func plan(
        _ requests: [PlacementRequest], on snapshot: PlacementSnapshot,
        using generator: inout some RandomNumberGenerator
    ) -> [[HostName]] {
        var board = PlanningBoard(snapshot)
        var shortlists: [PlanningBoard.Wish: [Int]] = [:]
        var plans: [[HostName]] = []
        plans.reserveCapacity(requests.count)
        for request in requests {
            let wish = board.wish(request)
            let shortlist: [Int]
            if let known = shortlists[wish], !board.isDrawnToOthers(wish) {
                shortlist = known
            } else {
                // A server takes a place on one host, and a place that is taken only makes a host worse. So at least
                // `candidateLimit` of so many are as they were when the last server of the batch has its turn, and no
                // host outside the list is better than those.
                shortlist = best(Self.candidateLimit + requests.count, for: wish, on: board, using: &generator)
                shortlists[wish] = shortlist
            }
            let ranked = best(Self.candidateLimit, for: wish, on: board, among: shortlist, using: &generator)
            plans.append(ranked.map { board[$0].name })
            if let first = ranked.first { board.place(request, on: first) }
        }
        return plans
    }

    private struct Rank: Comparable {
        let index: Int
        let reluctance: Int
        let load: Double
        let tie: UInt64
        static func < (left: Rank, right: Rank) -> Bool {
            (left.reluctance, left.load, left.tie) < (right.reluctance, right.load, right.tie)
        }
    }

    /// The `count` best hosts that can take the request, best first: the least loaded, unless a group would rather have
    /// others.
    private func best(
        _ count: Int, for wish: PlanningBoard.Wish, on board: PlanningBoard, among indices: [Int]? = nil,
        using generator: inout some RandomNumberGenerator
    ) -> [Int] {
        var found: [Rank] = []
        found.reserveCapacity(2 * count)
        for place in 0..<(indices?.count ?? board.count) {
            let index = indices?[place] ?? place
            let host = board[index]
            guard board.accepts(host, wish) else { continue }
            found.append(
                Rank(
                    index: index, reluctance: board.reluctance(of: host, toward: wish),
                    load: load(of: host, with: wish.request), tie: generator.next()))
            guard found.count == 2 * count else { continue }
            found.sort()
            found.removeLast(count)
        }
        return found.sorted().prefix(count).map(\.index)
    }

    /// The fullest of the wanted resources after the claim, 0 to 1: the least loaded host comes first.
    private func load(of host: PlacementSnapshot.Host, with request: PlacementRequest) -> Double {
        var fullest = 0.0
        for (name, amount) in request.resources {
            guard let resource = host.resources[name], resource.capacity > 0 else { return 1 }
            fullest = max(fullest, Double(resource.used + amount) / Double(resource.capacity))
        }
        return fullest
    }
}
