import CloudModel
import PlacementCore
import Testing

@Suite struct AggregateFilterTests {
    /// The hosts that take the request, of these with their aggregates.
    private static func takers(
        _ request: PlacementRequest, _ hosts: [HostName: [Int64]], _ aggregates: [Int64: [String: String]]
    ) throws -> [HostName] {
        let hosts = try hosts.map { name, numbers in
            var host = try CandidatePlannerTests.host(name)
            host.aggregates = numbers
            return host
        }
        var random = CandidatePlannerTests.Fixed()
        let snapshot = PlacementSnapshot(hosts: hosts, aggregates: aggregates)
        return CandidatePlanner().plan([request], on: snapshot, using: &random)[0].sorted()
    }

    private static func request(
        of project: ProjectID = "p", _ specs: [String: String] = [:]
    ) -> PlacementRequest {
        PlacementRequest(resources: ["MEMORY_MB": 1], projectID: project, aggregateSpecs: specs)
    }

    @Test func hostsKeptForProjectsTakeNoOthers() throws {
        let hosts: [HostName: [Int64]] = ["a": [], "b": [1], "c": [2], "d": [1, 2], "e": [3]]
        let aggregates: [Int64: [String: String]] = [
            1: ["filter_tenant_id": "p, q"], 2: ["filter_tenant_id": "r", "filter_tenant_id2": "s"], 3: ["k": "v"],
        ]
        #expect(try Self.takers(Self.request(of: "p"), hosts, aggregates) == ["a", "b", "d", "e"])
        #expect(try Self.takers(Self.request(of: "s"), hosts, aggregates) == ["a", "c", "d", "e"])
        #expect(try Self.takers(Self.request(of: "t"), hosts, aggregates) == ["a", "e"])
    }

    @Test func everySpecMustBeMetByAnAggregateOfTheHost() throws {
        let hosts: [HostName: [Int64]] = ["a": [], "b": [1], "c": [2], "d": [1, 2], "e": [3]]
        let aggregates: [Int64: [String: String]] = [
            1: ["disk": "ssd,nvme"], 2: ["net": "10g"], 3: ["disk": "hdd"],
        ]
        #expect(try Self.takers(Self.request(["disk": "nvme"]), hosts, aggregates) == ["b", "d"])
        #expect(try Self.takers(Self.request(["disk": "ssd", "net": "10g"]), hosts, aggregates) == ["d"])
        #expect(try Self.takers(Self.request(["gpu": "1"]), hosts, aggregates) == [])
        #expect(try Self.takers(Self.request(), hosts, aggregates) == ["a", "b", "c", "d", "e"])
    }

    @Test(
        "an extra spec's operators mean what Nova's mean",
        arguments: [
            ("ssd", "ssd", true), ("ssd", "hdd", false), ("ssd", "s== ssd", true), ("ssd", "s!= ssd", false),
            ("4", "= 3", true), ("2", "= 3", false), ("4", ">= 4", true), ("4", "<= 3", false), ("4.0", "== 4", true),
            ("4", "!= 4", false), ("b", "s> a", true), ("b", "s< a", false), ("a", "s<= a", true),
            ("a", "s>= b", false),
            ("avx2", "<in> avx", true), ("sse", "<in> avx", false), ("aes mmx", "<all-in> aes mmx", true),
            ("aes", "<all-in> aes mmx", false), ("b", "<or> a <or> b", true), ("<or>", "<or> a <or> b", false),
            ("c", "<or> a <or> b", false), ("x", ">= 3", false), ("", "s==", false), ("two words", "two words", true),
        ])
    func operators(_ value: String, _ wanted: String, _ isMet: Bool) {
        #expect(ExtraSpecMatch.matches(value, wanted) == isMet)
    }

    @Test func aBatchOfManyProjectsIsPlannedByWhatLetsThemIn() throws {
        let hosts = try (1...4).map { number in
            var host = try CandidatePlannerTests.host(HostName("h\(number)"))
            host.aggregates = number <= 2 ? [1] : []
            return host
        }
        let requests = (0..<40).map { Self.request(of: ProjectID("p\($0 % 20)")) }
        var random = CandidatePlannerTests.Fixed()
        let snapshot = PlacementSnapshot(hosts: hosts, aggregates: [1: ["filter_tenant_id": "p0"]])
        let plans = CandidatePlanner().plan(requests, on: snapshot, using: &random)
        for (request, plan) in zip(requests, plans) {
            #expect(Set(plan).isSubset(of: request.projectID == "p0" ? ["h1", "h2", "h3", "h4"] : ["h3", "h4"]))
            #expect(!plan.isEmpty)
        }
    }
}
