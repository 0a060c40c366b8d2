import CellProtocol
import CloudModel
import FoundationEssentials
import Persistence
import PlacementCore
import PostgresClient
import Primitives
import ServerLifecycle
import TestSupport
import Testing

/// A root database of its own, with two cells of two hosts each, and what tests do with it.
struct RootFixture {
    static let now = Date(timeIntervalSince1970: 1_790_000_000)
    static let north = CellPath("/north") ?? .root
    static let south = CellPath("/south") ?? .root

    let pool: PostgresPool
    let store: PostgresRootStore
    let acceptance: PostgresServerAcceptance
    let released = Released()

    final actor Released {
        private(set) var servers: [ServerID] = []
        func add(_ id: ServerID) { servers.append(id) }
    }

    init() async throws {
        pool = PostgresPool(try await PrivatePostgres.shared().createDatabase())
        try await Migrator(pool).migrate(RootSchema.migrations, schemaName: RootSchema.name)
        let released = released
        store = PostgresRootStore(
            pool: pool,
            ports: PortLedger(
                reserve: { _, _, _ in ReservedPorts(interfaces: [], securityGroups: ["default"]) },
                release: { id, _ in await released.add(id) }, reconcile: { _ in 0 }))
        acceptance = PostgresServerAcceptance(store: store, now: { Self.now })
        for cell in [Self.north, Self.south] {
            let endpoint = CellMapping.Endpoint(
                host: "127.0.0.1", port: 5672, vhost: cell.name, user: "parent", password: Secret("s"))
            _ = try await store.putCell(cell, bus: endpoint, now: Self.now)
            let standing = CellStanding(path: cell, health: .up, reason: nil, since: Self.now, heartbeat: nil)
            try await store.setHealth([standing], watcher: nil)
            let events = (1...2).map { number in
                SequencedEvent(cell: cell, sequence: Int64(number), event: .hostChanged(Self.host(cell, number)))
            }
            _ = try await store.apply(events, from: cell, now: Self.now)
        }
    }

    static func host(_ cell: CellPath, _ number: Int, memoryMiB: Int = 2048) -> HostRecord {
        HostRecord(
            name: HostName("\(cell.name)-\(number)"), id: ProviderID(UUID()), cell: cell, availabilityZone: cell.name,
            inventory: HostInventory(
                vcpus: 4, memoryMiB: memoryMiB, diskGiB: 100, hypervisorType: "simulated", hypervisorVersion: 1,
                hypervisorHostname: "\(cell.name)-\(number)", hostIP: "127.0.0.1", reservedMemoryMiB: 0,
                agentVersion: "test"), seenAt: now)
    }

    static func newServer(
        _ name: String = "web", project: ProjectID = "p1", memoryMiB: Int = 512, zone: String? = nil,
        extraSpecs: [String: String] = [:]
    ) -> NewServers.Server {
        let flavor = Flavor(
            id: "1", name: "m1.small", vcpus: 1, memoryMiB: memoryMiB, diskGiB: 1, extraSpecs: extraSpecs)
        var instance = Instance(
            id: ServerID(UUID()), projectID: project, userID: "u1", name: name, hostname: name, flavor: flavor,
            image: nil, reservationID: "r-1", createdAt: now)
        instance.availabilityZone = zone
        return NewServers.Server(
            build: BuildSpecification(instance: instance, requestID: "req-1", publicKey: nil, image: nil),
            ports: PortReservation(
                serverID: instance.id, projectID: project, choice: .none, securityGroups: [], hostname: name,
                isAdmin: false))
    }

    func accept(_ servers: NewServers.Server...) async throws -> [Instance] {
        try await acceptance.accept(NewServers(servers: servers, quota: .standard))
    }

    func place(limit: Int = 50, now: Date = now) async throws -> [PlacedBuild] {
        try await store.place(limit: limit, now: now) { pending, snapshot in
            var random = SystemRandomNumberGenerator()
            return CandidatePlanner().plan(pending.map(\.request), on: snapshot, using: &random)
        }.placed
    }

    /// The event that a cell sends when the server runs.
    func activate(_ build: PlacedBuild, sequence: Int64) async throws {
        var instance = build.specification.instance
        instance.state = ServerState(vm: .active, task: nil, power: .running)
        instance.version += 1
        let event = SequencedEvent(
            cell: build.cell, sequence: sequence, event: .instanceChanged(InstanceSummary(instance)))
        _ = try await store.apply([event], from: build.cell, now: Self.now)
    }

    func usedMemory() async throws -> Int {
        try await store.hosts().reduce(0) { $0 + $1.memoryMiBUsed }
    }

    func count(_ table: String) async throws -> Int {
        try await pool.query("select count(*) from \(raw: table)").scalar(as: Int.self) ?? 0
    }
}
