import CloudModel
import Foundation
import PlacementCore
import Primitives
import Testing

@Suite struct ServerGroupPlanTests {
    private static let group = ServerGroupID(UUID())

    private static func plan(
        _ count: Int, _ group: PlacementSnapshot.Group, on hosts: [PlacementSnapshot.Host], memory: Int64 = 100,
        candidates: Int = 1
    ) -> [[HostName]] {
        let request = PlacementRequest(resources: ["MEMORY_MB": memory], group: Self.group)
        var random = CandidatePlannerTests.Fixed()
        let snapshot = PlacementSnapshot(hosts: hosts, groups: [Self.group: group])
        return CandidatePlanner().plan(Array(repeating: request, count: count), on: snapshot, using: &random)
            .map { Array($0.prefix(candidates)) }
    }

    private static func hosts(_ count: Int) throws -> [PlacementSnapshot.Host] {
        try (1...count).map { try CandidatePlannerTests.host(HostName("h\($0)"), used: Int64($0)) }
    }

    @Test func affinityKeepsABatchOnOneHost() throws {
        let plans = Self.plan(4, .init(policy: .affinity), on: try Self.hosts(3))
        #expect(plans == Array(repeating: ["h1"], count: 4))
        let full = Self.plan(4, .init(policy: .affinity), on: try Self.hosts(3), memory: 400)
        #expect(full == [["h1"], ["h1"], [], []])
    }

    @Test func affinityFollowsThoseThatAreThere() throws {
        let group = PlacementSnapshot.Group(policy: .affinity, servers: ["h3": 1])
        #expect(Self.plan(2, group, on: try Self.hosts(3), candidates: 5) == [["h3"], ["h3"]])
    }

    @Test func antiAffinityNeverPutsTwoOnOneHost() throws {
        let group = PlacementSnapshot.Group(policy: .antiAffinity, servers: ["h2": 1])
        let plans = Self.plan(4, group, on: try Self.hosts(4))
        #expect(plans == [["h1"], ["h3"], ["h4"], []])
    }

    @Test func antiAffinityCountsUpToItsRule() throws {
        let group = PlacementSnapshot.Group(policy: .antiAffinity, serversPerHost: 2, servers: ["h1": 1])
        let firsts = Self.plan(4, group, on: try Self.hosts(2)).map(\.first)
        #expect(firsts.filter { $0 == "h1" }.count == 1)
        #expect(firsts.filter { $0 == "h2" }.count == 2)
        #expect(firsts.last == .some(nil))
    }

    @Test func softPoliciesBendWhereHardOnesBreak() throws {
        let together = Self.plan(4, .init(policy: .softAffinity), on: try Self.hosts(3), memory: 400)
        #expect(together == [["h1"], ["h1"], ["h2"], ["h2"]])
        let apart = Self.plan(5, .init(policy: .softAntiAffinity), on: try Self.hosts(2))
        #expect(Dictionary(grouping: apart.compactMap(\.first)) { $0 }.mapValues(\.count) == ["h1": 3, "h2": 2])
    }

    /// The other wish of the same group has been here before and finds its own shortlist, on which the mate's host is not.
    @Test func softAffinitySeesMatesThatAnotherFlavorBrought() throws {
        let hosts = try (1...300).map { try CandidatePlannerTests.host(HostName("h\($0)"), used: Int64($0)) }
        let group = PlacementSnapshot.Group(policy: .softAffinity)
        func request(_ memory: Int64, excluding excluded: Set<HostName> = []) -> PlacementRequest {
            PlacementRequest(resources: ["MEMORY_MB": memory], excludedHosts: excluded, group: Self.group)
        }
        let first = request(999)
        let far = request(1, excluding: Set(hosts.dropLast().map(\.name)))
        let last = request(650)
        var random = CandidatePlannerTests.Fixed()
        let snapshot = PlacementSnapshot(hosts: hosts, groups: [Self.group: group])
        let plans = CandidatePlanner().plan([last, far, first, far, last], on: snapshot, using: &random).map(\.first)
        #expect(plans == ["h1", "h300", nil, "h300", "h300"])
    }

    @Test func serversWithoutAGroupDoNotMind() throws {
        var random = CandidatePlannerTests.Fixed()
        let group = PlacementSnapshot.Group(policy: .antiAffinity, servers: ["h1": 1])
        let snapshot = PlacementSnapshot(hosts: try Self.hosts(1), groups: [Self.group: group])
        let request = PlacementRequest(resources: ["MEMORY_MB": 1])
        #expect(CandidatePlanner().plan([request], on: snapshot, using: &random) == [["h1"]])
    }

    @Test func otherServersHostsAreWantedOrNot() throws {
        var random = CandidatePlannerTests.Fixed()
        let snapshot = PlacementSnapshot(hosts: try Self.hosts(3))
        let with = PlacementRequest(resources: ["MEMORY_MB": 1], allowedHosts: ["h2", "h3"])
        let apart = PlacementRequest(resources: ["MEMORY_MB": 1], excludedHosts: ["h1"], allowedHosts: ["h1"])
        #expect(
            CandidatePlanner().plan([with, apart], on: snapshot, using: &random).map(Set.init) == [["h2", "h3"], []])
    }
}
