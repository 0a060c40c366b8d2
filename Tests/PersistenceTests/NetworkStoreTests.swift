import APITestSupport
import CloudModel
import FoundationEssentials
import Persistence
import PostgresClient
import Primitives
import TestSupport
import Testing

@Suite(.enabled(if: PrivatePostgres.isInstalled, Comment(rawValue: PrivatePostgres.missing)), .timeLimit(.minutes(5)))
struct NetworkStoreTests {
    private static let now = ManualWallClock.start

    private struct Bench {
        let ids = CountingIDs()
        let pool: PostgresPool
        let store: PostgresNetworkStore

        init() async throws {
            pool = PostgresPool(try await PrivatePostgres.shared().createDatabase())
            try await Migrator(pool).migrate(NetworkSchema.migrations, schemaName: NetworkSchema.name)
            store = PostgresNetworkStore(pool: pool, ids: ids)
        }

        func network(_ name: String, cidr: String, project: ProjectID = "q", shared: Bool = true) async throws
            -> Network
        {
            let network = try await store.insert(
                Network(id: ids.next(), projectID: project, name: name, isShared: shared, createdAt: now))
            let prefix = try #require(IPv4Prefix(cidr))
            _ = try await store.insert(
                Subnet(
                    id: ids.next(), networkID: network.id, projectID: project, name: "s", prefix: prefix,
                    gateway: Subnet.standardGateway(prefix), nameServers: ["9.9.9.9"], createdAt: now))
            return network
        }

        func reservation(
            _ choice: PortReservation.Choice = .automatic, groups: [String] = [], project: ProjectID = "p"
        ) -> PortReservation {
            PortReservation(
                serverID: ids.next(), projectID: project, choice: choice, securityGroups: groups, hostname: "web",
                isAdmin: false)
        }

        func reserve(_ reservation: PortReservation) async throws -> ReservedPorts {
            let ledger = PortLedger.network(store)
            return try await pool.transaction { try await ledger.reserve(reservation, $0, now) }
        }

        func release(_ server: ServerID) async throws {
            let ledger = PortLedger.network(store)
            try await pool.transaction { try await ledger.release(server, $0) }
        }
    }

    @Test(arguments: NetworkContract.cases)
    func postgresKeepsTheContract(of test: NetworkContract.Case) async throws {
        let bench = try await Bench()
        try await test.run(bench.store)
        await bench.pool.close()
    }

    @Test func aServerGetsACompleteInterface() async throws {
        let bench = try await Bench()
        let network = try await bench.network("private", cidr: "10.0.0.0/24")
        let reservation = bench.reservation()
        let reserved = try await bench.reserve(reservation)
        let interface = try #require(reserved.interfaces.first)
        #expect(reserved.securityGroups == ["default"])
        #expect(interface.networkID == network.id && interface.networkName == "private" && interface.isOwned)
        #expect(interface.addresses.map(\.address) == ["10.0.0.2"])
        #expect(interface.addresses.first?.prefixLength == 24)
        #expect(interface.addresses.first?.gateway == "10.0.0.1")
        #expect(interface.addresses.first?.nameServers == ["9.9.9.9"])
        #expect(interface.securityRules.contains { $0.direction == .ingress && $0.remotePrefix == "10.0.0.0/24" })
        let port = try #require(
            try await bench.store.ports(PortQuery(deviceIDs: [reservation.serverID.description])).first)
        #expect(port.id == interface.portID && port.macAddress == interface.macAddress)
        #expect(port.deviceOwner == Port.computeOwner && port.dnsName == "web")
        try await bench.release(reservation.serverID)
        #expect(try await bench.store.ports(PortQuery()).isEmpty)
        await bench.pool.close()
    }

    @Test func aProjectsOwnNetworkComesBeforeASharedOne() async throws {
        let bench = try await Bench()
        #expect(try await bench.reserve(bench.reservation()).interfaces.isEmpty)
        _ = try await bench.network("shared", cidr: "10.0.0.0/24")
        #expect(try await bench.reserve(bench.reservation()).interfaces.map(\.networkName) == ["shared"])
        _ = try await bench.network("own", cidr: "10.1.0.0/24", project: "p", shared: false)
        #expect(try await bench.reserve(bench.reservation()).interfaces.map(\.networkName) == ["own"])
        #expect(try await bench.reserve(bench.reservation(project: "z")).interfaces.map(\.networkName) == ["shared"])
        _ = try await bench.network("own too", cidr: "10.2.0.0/24", project: "p", shared: false)
        await #expect(throws: PortReservationError.ambiguousNetwork) { try await bench.reserve(bench.reservation()) }
        await bench.pool.close()
    }

    @Test func aPortOfTheUsersIsTakenAndGivenBack() async throws {
        let bench = try await Bench()
        let network = try await bench.network("private", cidr: "10.0.0.0/24")
        var draft = PortDraft(id: bench.ids.next(), networkID: network.id, projectID: "p", createdAt: Self.now)
        draft.isPortSecurityEnabled = false
        let port = try await bench.store.create(draft)
        let choice = PortReservation.Choice.listed([.init(portID: port.id)])
        await #expect(throws: PortReservationError.portNotFound(port.id)) {
            try await bench.reserve(bench.reservation(choice, project: "z"))
        }
        let reservation = bench.reservation(choice)
        let reserved = try await bench.reserve(reservation)
        #expect(reserved.interfaces.first?.isOwned == false)
        #expect(reserved.interfaces.first?.securityRules.count == 4)
        await #expect(throws: PortReservationError.portInUse(port.id)) {
            try await bench.reserve(bench.reservation(choice))
        }
        try await bench.release(reservation.serverID)
        #expect(try await bench.store.ports(PortQuery(ids: [port.id])).first?.deviceID == "")
        await bench.pool.close()
    }

    @Test func whatCanNotBeReservedIsExplainedAndLeavesNothing() async throws {
        let bench = try await Bench()
        let network = try await bench.network("private", cidr: "10.0.0.0/30")
        let foreign = try await bench.network("foreign", cidr: "10.1.0.0/24", project: "z", shared: false)
        let bare = try await bench.store.insert(
            Network(id: bench.ids.next(), projectID: "p", name: "bare", createdAt: Self.now))
        func listed(_ network: Network, _ address: String? = nil) -> PortReservation {
            bench.reservation(.listed([.init(networkID: network.id, fixedAddress: address)]))
        }
        for (reservation, error) in [
            (listed(foreign), PortReservationError.networkNotFound(foreign.id)),
            (listed(bare), .networkHasNoSubnet(bare.id)), (listed(network, "10.9.9.9"), .invalidAddress("10.9.9.9")),
            (listed(network, "10.0.0.1"), .addressInUse("10.0.0.1")), (listed(network, "x"), .invalidAddress("x")),
            (bench.reservation(groups: ["nothing"]), .securityGroupNotFound("nothing")),
        ] {
            await #expect(throws: error) { try await bench.reserve(reservation) }
        }
        #expect(try await bench.store.ports(PortQuery()).isEmpty)
        _ = try await bench.reserve(listed(network))
        await #expect(throws: PortReservationError.noMoreAddresses(network.id)) {
            try await bench.reserve(listed(network))
        }
        try await bench.store.setQuota(NetworkQuota(overrides: [.port: 1]), of: "p")
        await #expect(throws: PortReservationError.quota(.init(resource: "port", requested: 1, used: 1, limit: 1))) {
            try await bench.reserve(listed(network))
        }
        await bench.pool.close()
    }

    @Test func manyServersAtOnceGetAddressesOfTheirOwn() async throws {
        let bench = try await Bench()
        _ = try await bench.network("private", cidr: "10.0.0.0/24")
        let reserved = try await withThrowingTaskGroup(of: ReservedPorts.self) { group in
            for project in 0..<40 {
                let reservation = bench.reservation(project: ProjectID("p\(project % 7)"))
                group.addTask { try await bench.reserve(reservation) }
            }
            return try await group.reduce(into: [ReservedPorts]()) { $0.append($1) }
        }
        let addresses = Set(reserved.flatMap(\.interfaces).flatMap(\.addresses).map(\.address))
        let macs = Set(reserved.flatMap(\.interfaces).map(\.macAddress))
        #expect(addresses.count == 40 && macs.count == 40)
        #expect(try await bench.store.groups(visibleTo: nil).count { $0.isDefault } == 7)
        await bench.pool.close()
    }
}
