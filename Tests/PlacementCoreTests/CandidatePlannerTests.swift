import CloudModel
import PlacementCore
import Testing

@Suite struct CandidatePlannerTests {
    struct Fixed: RandomNumberGenerator {
        var state: UInt64 = 1
        mutating func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state
        }
    }

    static func host(
        _ name: HostName, cell: String = "/north", zone: String = "north", isEligible: Bool = true,
        memory: Int64 = 1000,
        used: Int64 = 0
    ) throws -> PlacementSnapshot.Host {
        .init(
            name: name, cell: try #require(CellPath(cell)), availabilityZone: zone, isEligible: isEligible,
            resources: ["MEMORY_MB": .init(total: memory, reserved: 0, allocationRatio: 1, used: used)])
    }

    static func plan(_ requests: [PlacementRequest], _ hosts: [PlacementSnapshot.Host]) -> [[HostName]] {
        var random = Fixed()
        return CandidatePlanner().plan(requests, on: PlacementSnapshot(hosts: hosts), using: &random)
    }

    @Test func spreadsABatchOverTheHosts() throws {
        let hosts = try (1...4).map { try Self.host(HostName("h\($0)")) }
        let plans = Self.plan(Array(repeating: PlacementRequest(resources: ["MEMORY_MB": 100]), count: 8), hosts)
        let firsts = Dictionary(grouping: plans.compactMap(\.first)) { $0 }.mapValues(\.count)
        #expect(firsts == ["h1": 2, "h2": 2, "h3": 2, "h4": 2])
    }

    @Test func prefersTheLeastLoadedHostAndKeepsAlternates() throws {
        let plans = Self.plan(
            [PlacementRequest(resources: ["MEMORY_MB": 100])],
            [try Self.host("full", used: 800), try Self.host("empty"), try Self.host("half", used: 500)])
        #expect(plans == [["empty", "half", "full"]])
    }

    @Test func passesOverHostsThatMayNotOrCanNot() throws {
        let hosts = [
            try Self.host("down", isEligible: false), try Self.host("small", memory: 50),
            try Self.host("elsewhere", zone: "south"), try Self.host("failed-before"), try Self.host("fine"),
        ]
        let request = PlacementRequest(
            resources: ["MEMORY_MB": 100], availabilityZone: "north", excludedHosts: ["failed-before"])
        #expect(Self.plan([request], hosts) == [["fine"]])
    }

    @Test func answersNoneWhenNoneFits() throws {
        let request = PlacementRequest(resources: ["MEMORY_MB": 2000])
        #expect(Self.plan([request], [try Self.host("h")]) == [[]])
        #expect(Self.plan([PlacementRequest(resources: ["GPU": 1])], [try Self.host("h")]) == [[]])
    }

    @Test func takesOnlyTheHostThatAnAdministratorChose() throws {
        let request = PlacementRequest(resources: ["MEMORY_MB": 1], forcedHost: "b")
        #expect(Self.plan([request], [try Self.host("a"), try Self.host("b")]) == [["b"]])
    }
}
