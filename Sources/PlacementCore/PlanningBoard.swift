import CloudModel

/// A snapshot as it is after the batch's earlier servers, without a copy of the hosts that they left alone, and which
/// hosts may take a server.
struct PlanningBoard {
    /// A request as hosts see it: those of all projects are alike that the same aggregates let in.
    struct Wish: Hashable {
        var request: PlacementRequest
        let aggregates: AggregateFilter.Demand
    }

    private let hosts: [PlacementSnapshot.Host]
    private let aggregates: AggregateFilter
    private var changed: [Int: PlacementSnapshot.Host] = [:]
    private var groups: [ServerGroupID: PlacementSnapshot.Group]

    init(_ snapshot: PlacementSnapshot) {
        hosts = snapshot.hosts
        aggregates = AggregateFilter(snapshot.aggregates)
        groups = snapshot.groups
    }

    var count: Int { hosts.count }

    subscript(index: Int) -> PlacementSnapshot.Host { changed.isEmpty ? hosts[index] : changed[index] ?? hosts[index] }

    func wish(_ request: PlacementRequest) -> Wish {
        var wish = Wish(request: request, aggregates: aggregates.demand(of: request))
        wish.request.projectID = nil
        return wish
    }

    /// Whether servers that were placed after a shortlist was made may have made a host better that is not on it.
    func isDrawnToOthers(_ wish: Wish) -> Bool {
        wish.request.group.flatMap { groups[$0] }?.policy == .softAffinity
    }

    func accepts(_ host: PlacementSnapshot.Host, _ wish: Wish) -> Bool {
        let request = wish.request
        guard host.isEligible, !request.excludedHosts.contains(host.name) else { return false }
        if let forced = request.forcedHost, forced != host.name { return false }
        if let zone = request.availabilityZone, zone != host.availabilityZone { return false }
        if let allowed = request.allowedHosts, !allowed.contains(host.name) { return false }
        if let group = request.group.flatMap({ groups[$0] }), !group.accepts(host.name) { return false }
        return aggregates.accepts(host, wish.aggregates)
            && request.resources.allSatisfy { name, amount in (host.resources[name]?.free ?? 0) >= amount }
    }

    func reluctance(of host: PlacementSnapshot.Host, toward wish: Wish) -> Int {
        wish.request.group.flatMap { groups[$0] }?.reluctance(host.name) ?? 0
    }

    mutating func place(_ request: PlacementRequest, on index: Int) {
        var host = self[index]
        for (name, amount) in request.resources { host.resources[name]?.used += amount }
        changed[index] = host
        if let group = request.group { groups[group]?.servers[host.name, default: 0] += 1 }
    }
}
