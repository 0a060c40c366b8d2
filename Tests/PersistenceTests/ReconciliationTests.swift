import APITestSupport
import CellProtocol
import CloudModel
import FoundationEssentials
import MessageBus
import Persistence
import PlacementCore
import PostgresClient
import Primitives
import ServerLifecycle
import TestSupport
import Testing

/// What hangs on servers is proved against the servers there are.
@Suite(.enabled(if: PrivatePostgres.isInstalled, Comment(rawValue: PrivatePostgres.missing)), .timeLimit(.minutes(5)))
struct ReconciliationTests {
    private static let caller = Caller(userID: "u1", projectID: "p1", roles: ["member"])

    @Test func nothingIsWrongThroughoutTheLifeOfServers() async throws {
        let root = try await RootFixture()
        let group = try await root.group(.softAntiAffinity)
        func expectRight(_ when: Comment) async throws {
            #expect(try await root.store.reconcile() == Reconciliation(), when)
        }
        let servers = [
            try await root.accept(in: group, RootFixture.newServer("a")),
            try await root.accept(RootFixture.newServer("b")),
        ].joined()
        try await expectRight("accepted")
        let builds = try await root.place()
        try await expectRight("placed")
        try await root.store.refuse(builds[0], reason: "x", now: RootFixture.now)
        try await expectRight("refused")
        try await root.store.acknowledge([builds[1]])
        try await root.activate(builds[1], sequence: 3)
        try await expectRight("active")
        for id in servers.map(\.id) {
            _ = try await root.acceptance.delete(id, requestID: "r", caller: Self.caller)
            try await expectRight("delete asked")
        }
        let deletion = InstanceDeletion(
            id: builds[1].specification.instance.id, version: 9, deletedAt: RootFixture.now)
        let event = SequencedEvent(cell: builds[1].cell, sequence: 4, event: .instanceDeleted(deletion))
        _ = try await root.store.apply([event], from: builds[1].cell, now: RootFixture.now)
        try await expectRight("gone")
        #expect(try await root.store.usage(of: "p1") == ComputeUsage())
        #expect(try await root.usedMemory() == 0)
        #expect(try await root.store.group(group)?.members == [])
    }

    @Test func whatIsLeftOfServersThatAreGoneGoes() async throws {
        let root = try await RootFixture()
        let group = try await root.group(.affinity)
        let server = try #require(try await root.accept(in: group, RootFixture.newServer()).first)
        _ = try await root.place()
        // As after a backup was put back: the server is gone, what hangs on it is there.
        try await root.pool.transaction { transaction in
            _ = try await transaction.query("select set_config('cellwright.prunes', 'on', true)")
            try await transaction.execute("delete from directory.instances where id = \(server.id)")
            try await transaction.execute("delete from scheduler.build_requests where instance_id = \(server.id)")
        }
        var expected = Reconciliation()
        (expected.uses, expected.leftClaims, expected.inventories, expected.members) = (1, 1, 3, 1)
        #expect(try await root.store.reconcile() == expected)
        #expect(try await root.usedMemory() == 0)
        #expect(try await root.store.group(group)?.members == [])
        #expect(try await root.store.reconcile() == Reconciliation())
    }

    @Test func whatRunsWithoutAClaimGetsOne() async throws {
        let root = try await RootFixture()
        _ = try await root.accept(RootFixture.newServer())
        let build = try #require(try await root.place().first)
        try await root.store.acknowledge([build])
        try await root.activate(build, sequence: 3)
        _ = try await root.pool.execute("delete from placement.allocations")
        _ = try await root.pool.execute("update placement.inventories set used = 7 where class = 'VCPU'")
        let found = try await root.store.reconcile()
        #expect(found.missingClaims == 1)
        // Four hosts' VCPU, and the disk whose sum is left without its claim.
        #expect(found.inventories == 5)
        let host = try #require(build.specification.instance.host)
        let usage = try #require(try await root.store.host(host))
        #expect(usage.vcpusUsed == 1 && usage.memoryMiBUsed == 512)
        #expect(try await root.store.reconcile() == Reconciliation())
    }

    @Test func nothingIsTakenAwayWhileRowsAreMissing() async throws {
        let root = try await RootFixture()
        let group = try await root.group(.affinity)
        _ = try await root.accept(in: group, RootFixture.newServer())
        let build = try #require(try await root.place().first)
        try await root.store.acknowledge([build])
        try await root.activate(build, sequence: 3)
        _ = try await root.pool.execute("delete from directory.instances")
        #expect(try await root.store.reconcile() == Reconciliation())
        #expect(try await root.usedMemory() == 512)
        #expect(try await root.store.group(group)?.members.count == 1)
    }

    @Test func proofsDoNotDisturbWhatGoesOn() async throws {
        let root = try await RootFixture()
        for index in 0..<16 {
            _ = try await root.accept(RootFixture.newServer("s\(index)", project: ProjectID("p\(index)")))
        }
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await root.placeAll(schedulers: 3) }
            tasks.addTask {
                for _ in 0..<20 {
                    let found = try await root.store.reconcile()
                    #expect(found == Reconciliation())
                }
            }
            try await tasks.waitForAll()
        }
        #expect(try await root.usedMemory() == 16 * 512)
        #expect(try await root.store.reconcile() == Reconciliation())
    }

    @Test func portsOfServersThatAreGoneGo() async throws {
        let pool = PostgresPool(try await PrivatePostgres.shared().createDatabase())
        _ = try await CellSchemas.migrate(pool, .root)
        let ids = CountingIDs()
        let networks = PostgresNetworkStore(pool: pool, ids: ids)
        let store = PostgresRootStore(pool: pool, ports: .network(networks))
        let acceptance = PostgresServerAcceptance(store: store, now: { RootFixture.now })
        let network = try await networks.insert(
            Network(id: ids.next(), projectID: "p1", name: "n", isShared: false, createdAt: RootFixture.now))
        let prefix = try #require(IPv4Prefix("10.0.0.0/24"))
        _ = try await networks.insert(
            Subnet(
                id: ids.next(), networkID: network.id, projectID: "p1", name: "s", prefix: prefix,
                gateway: Subnet.standardGateway(prefix), createdAt: RootFixture.now))
        var servers: [NewServers.Server] = []
        for name in ["kept", "gone", "given away"] {
            var server = RootFixture.newServer(name)
            server.ports = PortReservation(
                serverID: server.build.instance.id, projectID: "p1", choice: .automatic, securityGroups: [],
                hostname: "s", isAdmin: false)
            servers.append(server)
        }
        let accepted = try await acceptance.accept(NewServers(servers: servers, quota: .standard))
        #expect(try await store.reconcile() == Reconciliation())
        let given = try #require(accepted[2].interfaces.first?.portID)
        var changes = PortChanges()
        changes.deviceID = "a router"
        _ = try await networks.update(given, changes, now: RootFixture.now)
        try await pool.transaction { transaction in
            _ = try await transaction.query("select set_config('cellwright.prunes', 'on', true)")
            try await transaction.execute("delete from directory.instances where id <> \(accepted[0].id)")
            try await transaction.execute("delete from scheduler.build_requests where instance_id <> \(accepted[0].id)")
        }
        #expect(try await store.reconcile().ports == 1)
        #expect(Set(try await networks.ports(PortQuery()).map(\.id)) == [given, accepted[0].interfaces[0].portID])
        await pool.close()
    }
}
