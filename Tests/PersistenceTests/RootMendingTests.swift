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

/// Claims, counters and ports that have lost their server are put right; nothing else is touched.
@Suite(.enabled(if: PrivatePostgres.isInstalled, Comment(rawValue: PrivatePostgres.missing)))
struct RootMendingTests {
    private struct Cloud {
        let root: RootFixture
        var running: [PlacedBuild] = []

        init() async throws {
            root = try await RootFixture()
            for _ in 0..<2 {
                _ = try await root.accept(RootFixture.newServer())
                let build = try #require(try await root.place().first)
                try await root.store.acknowledge([build])
                running.append(build)
            }
            _ = try await root.accept(RootFixture.newServer())
        }

        func id(_ index: Int) -> ServerID { running[index].specification.instance.id }
        func run(_ sql: Statement) async throws { _ = try await root.pool.execute(sql) }
    }

    @Test func aCloudThatIsRightIsLeftAsItIs() async throws {
        let cloud = try await Cloud()
        let memory = try await cloud.root.usedMemory()
        #expect(try await cloud.root.store.reconcileClaims() == RootMending())
        #expect(try await cloud.root.usedMemory() == memory && memory == 1024)
    }

    @Test func aClaimWithoutAServerIsReleased() async throws {
        let cloud = try await Cloud()
        let stranger = ServerID(UUID())
        try await cloud.run(
            """
            select placement.claim(\(stranger), p.id, array['MEMORY_MB'], array[256::bigint])
            from placement.providers p order by p.id limit 1
            """)
        try await cloud.run("update directory.instances set deleted_at = now() where id = \(cloud.id(0))")
        try await cloud.run("delete from scheduler.build_requests where instance_id = \(cloud.id(0))")
        var expected = RootMending()
        expected.claimsReleased = 2
        #expect(try await cloud.root.store.reconcileClaims() == expected)
        #expect(try await cloud.root.usedMemory() == 512)
        #expect(try await cloud.root.store.reconcileClaims() == RootMending())
    }

    @Test func theClaimOfABuildThatHasNoPlaceIsReleased() async throws {
        let cloud = try await Cloud()
        try await cloud.run(
            "update scheduler.build_requests set state = 'failed', host = null where instance_id = \(cloud.id(1))")
        #expect(try await cloud.root.store.reconcileClaims().claimsReleased == 1)
        #expect(try await cloud.root.usedMemory() == 512)
    }

    @Test func nothingIsReleasedWhileTheDirectoryIsKnownToHaveLostRows() async throws {
        let cloud = try await Cloud()
        try await cloud.run("delete from scheduler.build_requests where instance_id = \(cloud.id(0))")
        try await cloud.run("delete from directory.instances where id = \(cloud.id(0))")
        #expect(try await cloud.root.store.reconcileClaims() == RootMending())
        #expect(try await cloud.root.usedMemory() == 1024)
    }

    @Test func countersBecomeTheSumOfTheirClaims() async throws {
        let cloud = try await Cloud()
        try await cloud.run("update placement.inventories set used = used + 100 where class = 'MEMORY_MB'")
        #expect(try await cloud.root.store.reconcileClaims().countersMended == 4)
        #expect(try await cloud.root.usedMemory() == 1024)
    }

    @Test func aServerWithoutAClaimIsToldAndLeftAsItIs() async throws {
        let cloud = try await Cloud()
        try await cloud.root.activate(cloud.running[0], sequence: 3)
        try await cloud.run("select placement.release(\(cloud.id(0)))")
        var expected = RootMending()
        expected.unclaimed = 1
        for _ in 0..<2 { #expect(try await cloud.root.store.reconcileClaims() == expected) }
    }

    @Test func portsOfDeletedServersAreGivenBackAndThoseOfStrangersAreNot() async throws {
        let cloud = try await Cloud()
        let pool = cloud.root.pool
        try await Migrator(pool).migrate(NetworkSchema.migrations, schemaName: NetworkSchema.name)
        let network = PostgresNetworkStore(pool: pool, ids: CountingIDs())
        let ledger = PortLedger.network(network)
        let store = PostgresRootStore(pool: pool, ports: ledger)
        let made = try await network.insert(
            Network(
                id: NetworkID(UUID()), projectID: "p1", name: "n", isShared: true, createdAt: RootFixture.now))
        let prefix = try #require(IPv4Prefix("10.0.0.0/24"))
        _ = try await network.insert(
            Subnet(
                id: SubnetID(UUID()), networkID: made.id, projectID: "p1", name: "s", prefix: prefix,
                gateway: Subnet.standardGateway(prefix), createdAt: RootFixture.now))
        let stranger = ServerID(UUID())
        for server in [cloud.id(0), cloud.id(1), stranger] {
            let reservation = PortReservation(
                serverID: server, projectID: "p1", choice: .automatic, securityGroups: [], hostname: "web",
                isAdmin: false)
            _ = try await pool.transaction { try await ledger.reserve(reservation, $0, RootFixture.now) }
        }
        try await cloud.run("update directory.instances set deleted_at = now() where id = \(cloud.id(0))")
        try await cloud.run("select placement.release(\(cloud.id(0)))")
        let mending = try await store.reconcileClaims()
        #expect(mending.portsReleased == 1 && mending.strangePorts == 1)
        let left: [String] = try await pool.query("select device_id from network.ports order by device_id").column()
        #expect(Set(left) == [cloud.id(1).description, stranger.description])
        #expect(try await store.reconcileClaims().portsReleased == 0)
    }

    @Test func rowsThatACellDoesNotTellOfAreNamed() async throws {
        let cloud = try await Cloud()
        for (index, build) in cloud.running.enumerated() {
            let earlier = cloud.running[..<index].filter { $0.cell == build.cell }.count
            try await cloud.root.activate(build, sequence: Int64(3 + earlier))
        }
        let build = cloud.running[0]
        let known = Set(cloud.running.filter { $0.cell == build.cell }.map(\.specification.instance.id))
        let later = RootFixture.now + 1
        func missing(_ known: Set<ServerID>, before date: Date) async throws -> [ServerID] {
            try await cloud.root.store.missing(of: build.cell, besides: known, createdBefore: date)
        }
        #expect(try await missing(known, before: later).isEmpty)
        #expect(try await missing(known.subtracting([cloud.id(0)]), before: later) == [cloud.id(0)])
        #expect(try await missing([], before: RootFixture.now).isEmpty)
    }
}
