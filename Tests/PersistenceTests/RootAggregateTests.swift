import APITestSupport
import CellProtocol
import CloudModel
import FoundationEssentials
import Persistence
import PostgresClient
import Primitives
import ServerLifecycle
import TestSupport
import Testing

@Suite(.enabled(if: PrivatePostgres.isInstalled, Comment(rawValue: PrivatePostgres.missing)), .timeLimit(.minutes(5)))
struct RootAggregateTests {
    @Test(arguments: AggregateContract.cases)
    func postgresKeepsTheContract(of test: AggregateContract.Case) async throws {
        let root = try await RootFixture()
        try await root.occupy("south-2")
        try await test.run(root.store, root.store)
    }

    @Test func whatChangesCountsForTheNextPlacement() async throws {
        let root = try await RootFixture()
        // A picture that is there before anything changes.
        try await root.occupy("north-2")
        let number = try await root.aggregate("a", hosts: "south-1")
        try await root.change(number, .describe(name: nil, zone: "fast"))
        let first = try await root.placed(RootFixture.newServer(zone: "fast"))
        #expect(first.specification.instance.host == "south-1")
        #expect(first.specification.instance.availabilityZone == "fast")
        try await root.change(number, .setMetadata(["filter_tenant_id": "p2"]))
        for _ in 0..<5 {
            let build = try await root.placed(RootFixture.newServer())
            #expect(build.specification.instance.host != "south-1")
        }
        let build = try await root.placed(RootFixture.newServer(project: "p2", zone: "fast"))
        #expect(build.specification.instance.host == "south-1")
        try await root.change(number, .setMetadata(["filter_tenant_id": nil]))
        #expect(try await root.placed(RootFixture.newServer(zone: "fast")).specification.instance.host == "south-1")
    }

    @Test func aFlavorFindsTheAggregatesItAsksFor() async throws {
        let root = try await RootFixture()
        let number = try await root.aggregate("a", hosts: "north-1", "south-1")
        try await root.change(number, .setMetadata(["disk": "ssd"]))
        let specs = ["aggregate_instance_extra_specs:disk": "ssd", "hw:cpu_policy": "shared"]
        var hosts: Set<HostName> = []
        for _ in 0..<4 {
            let build = try await root.placed(RootFixture.newServer(extraSpecs: specs))
            hosts.insert(try #require(build.specification.instance.host))
        }
        #expect(hosts == ["north-1", "south-1"])
        try await root.change(number, .setMetadata(["disk": "hdd"]))
        _ = try await root.accept(RootFixture.newServer(extraSpecs: specs))
        #expect(try await root.place().isEmpty)
    }

    @Test func aHostThatIsSetUpAnewStaysInItsAggregates() async throws {
        let root = try await RootFixture()
        let number = try await root.aggregate("a", hosts: "north-1")
        try await root.change(number, .describe(name: nil, zone: "fast"))
        let event = SequencedEvent(
            cell: RootFixture.north, sequence: 3, event: .hostChanged(RootFixture.host(RootFixture.north, 1)))
        _ = try await root.store.apply([event], from: RootFixture.north, now: RootFixture.now)
        #expect(try await root.store.aggregate(number)?.hosts == ["north-1"])
        #expect(try await root.placed(RootFixture.newServer(zone: "fast")).specification.instance.host == "north-1")
    }

    @Test func aHostNeverGetsAServerInAZoneThatItLeft() async throws {
        let root = try await RootFixture()
        let number = try await root.aggregate("a", hosts: "north-1", "south-1")
        try await root.change(number, .describe(name: nil, zone: "fast"))
        // Servers are placed while the aggregate changes, again and again.
        for index in 0..<20 {
            _ = try await root.accept(
                RootFixture.newServer("s\(index)", project: ProjectID("p\(index)"), memoryMiB: 1, zone: "fast"))
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                for _ in 0..<20 { _ = try await root.place(limit: 1) }
            }
            group.addTask {
                for _ in 0..<20 {
                    do {
                        try await root.change(number, .remove("south-1"))
                        try await root.change(number, .add("south-1"))
                    } catch AggregateError.occupied {
                        // A server came first: the host stays.
                    } catch AggregateError.hostAbsent {
                        Issue.record("nobody else removes it")
                    }
                }
            }
            try await group.waitForAll()
        }
        let zones = try await root.pool.query(
            """
            select distinct coalesce(h.aggregate_zone, h.availability_zone) from scheduler.build_requests b
            join directory.hosts h on h.name = b.host
            """
        ).column(as: String.self)
        #expect(zones == ["fast"])
    }
}

extension RootFixture {
    func aggregate(_ name: String, hosts: HostName...) async throws -> Int64 {
        let aggregate = Aggregate(id: AggregateID(UUID()), name: name, createdAt: Self.now)
        let number = try await store.insert(aggregate).number
        for host in hosts { try await change(number, .add(host)) }
        return number
    }

    func change(_ number: Int64, _ change: AggregateChange) async throws {
        _ = try await store.change(number, change, now: Self.now)
    }

    /// A server on `host`.
    func occupy(_ host: HostName) async throws {
        var server = Self.newServer("occupies \(host)", memoryMiB: 1)
        server.forcedHost = host
        #expect(try await placed(server).specification.instance.host == host)
    }

    /// The one server, accepted and placed.
    func placed(_ server: NewServers.Server) async throws -> PlacedBuild {
        _ = try await accept(server)
        return try #require(try await place().first)
    }
}
