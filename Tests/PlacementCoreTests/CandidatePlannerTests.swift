import CloudModel
import FoundationEssentials
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

    @Test func hostsThatWentDownAMomentAgoMayBePlannedWithAsIfTheyWereBack() throws {
        let now = Date(timeIntervalSince1970: 1_790_000_000)
        func down(_ name: HostName, _ since: Date?) throws -> PlacementSnapshot.Host {
            var host = try Self.host(name, isEligible: false)
            host.downSince = since
            return host
        }
        let snapshot = PlacementSnapshot(hosts: [
            try down("closed", nil), try down("long-gone", now - 100), try down("back-soon", now - 10),
        ])
        let requests = [PlacementRequest(resources: ["MEMORY_MB": 100])]
        #expect(Self.plan(requests, snapshot.hosts) == [[]])
        let returned = try #require(snapshot.withReturned(downAfter: now - 60))
        #expect(Self.plan(requests, returned.hosts) == [["back-soon"]])
        #expect(snapshot.withReturned(downAfter: now - 5) == nil)
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

    /// What a planner does that looks at every host again for each server.
    private static func lookingAtAll(_ requests: [PlacementRequest], _ hosts: [PlacementSnapshot.Host]) -> [[Double]] {
        var hosts = hosts
        return requests.map { request in
            let amount = request.resources["MEMORY_MB"] ?? 0
            let fitting = hosts.indices.filter { index in
                let memory = hosts[index].resources["MEMORY_MB"]
                return (memory?.free ?? 0) >= amount
                    && request.availabilityZone.map { $0 == hosts[index].availabilityZone } ?? true
            }
            func load(_ index: Int) -> Double {
                guard let memory = hosts[index].resources["MEMORY_MB"] else { return 1 }
                return Double(memory.used + amount) / Double(memory.capacity)
            }
            let ranked = fitting.sorted { load($0) < load($1) }.prefix(CandidatePlanner.candidateLimit)
            let loads = ranked.map(load)
            if let best = ranked.first { hosts[best].resources["MEMORY_MB"]?.used += amount }
            return loads
        }
    }

    @Test("a mixed batch gets hosts as little loaded as if all were looked at for each server", arguments: 1...20)
    func shortlistsLoseNothing(seed: UInt64) throws {
        var random = Fixed(state: seed)
        // Loads that all differ, so that there is one right answer.
        let hosts = try (0..<300).map { number in
            try Self.host(
                HostName("h\(number)"), zone: number.isMultiple(of: 3) ? "north" : "south",
                memory: 100_003, used: Int64.random(in: 0...100_000, using: &random))
        }
        let kinds = [
            PlacementRequest(resources: ["MEMORY_MB": 7]), PlacementRequest(resources: ["MEMORY_MB": 60_000]),
            PlacementRequest(resources: ["MEMORY_MB": 1_009], availabilityZone: "north"),
        ]
        let requests = (0..<50).map { _ in kinds[Int.random(in: 0..<kinds.count, using: &random)] }
        let plans = CandidatePlanner().plan(requests, on: PlacementSnapshot(hosts: hosts), using: &random)
        var byName = Dictionary(uniqueKeysWithValues: hosts.map { ($0.name, $0) })
        let loads = zip(requests, plans).map { request, plan in
            let amount = request.resources["MEMORY_MB"] ?? 0
            defer { if let best = plan.first { byName[best]?.resources["MEMORY_MB"]?.used += amount } }
            return plan.compactMap { byName[$0]?.resources["MEMORY_MB"] }.map {
                Double($0.used + amount) / Double($0.capacity)
            }
        }
        #expect(loads == Self.lookingAtAll(requests, hosts))
    }
}
