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
        var touched = TouchedHosts(snapshot.hosts)
        var shortlists: [PlacementRequest: [Int]] = [:]
        var plans: [[HostName]] = []
        plans.reserveCapacity(requests.count)
        for request in requests {
            let shortlist: [Int]
            if let known = shortlists[request] {
                shortlist = known
            } else {
                // A server takes a place on one host, and a place that is taken only makes a host worse. So at least
                // `candidateLimit` of so many are as they were when the last server of the batch has its turn, and no
                // host outside the list is better than those.
                shortlist = best(
                    Self.candidateLimit + requests.count, for: request, of: touched, using: &generator)
                shortlists[request] = shortlist
            }
            let ranked = best(Self.candidateLimit, for: request, of: touched, among: shortlist, using: &generator)
            plans.append(ranked.map { touched[$0].name })
            if let first = ranked.first { touched.place(request.resources, on: first) }
        }
        return plans
    }

    private struct Rank: Comparable {
        let index: Int
        let load: Double
        let tie: UInt64
        static func < (left: Rank, right: Rank) -> Bool { (left.load, left.tie) < (right.load, right.tie) }
    }

    /// The `count` least loaded hosts that can take the request, best first.
    private func best(
        _ count: Int, for request: PlacementRequest, of hosts: TouchedHosts, among indices: [Int]? = nil,
        using generator: inout some RandomNumberGenerator
    ) -> [Int] {
        var found: [Rank] = []
        found.reserveCapacity(2 * count)
        for place in 0..<(indices?.count ?? hosts.count) {
            let index = indices?[place] ?? place
            let host = hosts[index]
            guard accepts(host, request) else { continue }
            found.append(Rank(index: index, load: load(of: host, with: request), tie: generator.next()))
            guard found.count == 2 * count else { continue }
            found.sort()
            found.removeLast(count)
        }
        return found.sorted().prefix(count).map(\.index)
    }

    private func accepts(_ host: PlacementSnapshot.Host, _ request: PlacementRequest) -> Bool {
        guard host.isEligible, !request.excludedHosts.contains(host.name) else { return false }
        if let forced = request.forcedHost, forced != host.name { return false }
        if let zone = request.availabilityZone, zone != host.availabilityZone { return false }
        return request.resources.allSatisfy { name, amount in (host.resources[name]?.free ?? 0) >= amount }
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

/// A snapshot's hosts as they are after the batch's earlier servers, without a copy of the others.
private struct TouchedHosts {
    private let hosts: [PlacementSnapshot.Host]
    private var changed: [Int: PlacementSnapshot.Host] = [:]

    init(_ hosts: [PlacementSnapshot.Host]) { self.hosts = hosts }

    var count: Int { hosts.count }

    subscript(index: Int) -> PlacementSnapshot.Host { changed.isEmpty ? hosts[index] : changed[index] ?? hosts[index] }

    mutating func place(_ resources: [String: Int64], on index: Int) {
        var host = self[index]
        for (name, amount) in resources { host.resources[name]?.used += amount }
        changed[index] = host
    }
}
