package import CloudModel

/// Chooses hosts for a batch of servers: filters, then a weigher that spreads. Pure: the claim itself is a transaction
/// elsewhere, which may be lost to another scheduler; then the next candidate is tried.
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
        var hosts = snapshot.hosts
        var plans: [[HostName]] = []
        plans.reserveCapacity(requests.count)
        for request in requests {
            let ranked = hosts.indices
                .filter { accepts(hosts[$0], request) }
                .map {
                    (
                        index: $0, load: load(of: hosts[$0], with: request),
                        tie: UInt64.random(in: 0...UInt64.max, using: &generator)
                    )
                }
                .sorted { ($0.load, $0.tie) < ($1.load, $1.tie) }
                .prefix(Self.candidateLimit)
            plans.append(ranked.map { hosts[$0.index].name })
            guard let best = ranked.first?.index else { continue }
            for (name, amount) in request.resources { hosts[best].resources[name]?.used += amount }
        }
        return plans
    }

    private func accepts(_ host: PlacementSnapshot.Host, _ request: PlacementRequest) -> Bool {
        guard host.isEligible, !request.excludedHosts.contains(host.name) else { return false }
        if let forced = request.forcedHost, forced != host.name { return false }
        if let zone = request.availabilityZone, zone != host.availabilityZone { return false }
        return request.resources.allSatisfy { name, amount in (host.resources[name]?.free ?? 0) >= amount }
    }

    /// The fullest of the wanted resources after the claim, 0 to 1: the least loaded host comes first.
    private func load(of host: PlacementSnapshot.Host, with request: PlacementRequest) -> Double {
        request.resources.map { name, amount in
            guard let resource = host.resources[name], resource.capacity > 0 else { return 1 }
            return Double(resource.used + amount) / Double(resource.capacity)
        }.max() ?? 0
    }
}
