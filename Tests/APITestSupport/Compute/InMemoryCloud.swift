package import CellProtocol
package import CloudModel
package import FoundationEssentials
package import MessageBus
import Primitives
import ServerViews
import Synchronization

/// The root's directory and the cells below it, in memory: servers stay where tests put them.
package final class InMemoryCloud: DirectoryStore, ServerAcceptance, CellRouter {
    package static let north = CellPath("/north") ?? .root
    package static let south = CellPath("/south") ?? .root

    struct Server {
        var instance: Instance
        var cell: CellPath?
    }

    struct State {
        var servers: [ServerID: Server] = [:]
        var hosts: [HostUsage] = []
        var aggregates: [Aggregate] = []
        var lastAggregate: Int64 = 0
        var groups: [ServerGroup] = []
        var members: [ServerID: ServerGroupID] = [:]
        var downCells: Set<CellPath> = []
        /// Calls by cell, to see who was asked.
        var calls: [CellPath: Int] = [:]
        /// How often the directory was asked for one server.
        var finds = 0
        var console = "login: "
        var accepted: [NewServers.Server] = []
        var gaps: [CellPath] = []
        var orders: [CellPath: PlacementOrder] = [:]
        var retiredCells: Set<CellPath> = []
        var placements: [ServerID: [ServerLocation.Placement]] = [:]
        var answers: [CellPath: Answers] = [:]
        /// Of actions that were carried out.
        var idempotencyKeys: [ServerID: Set<String>] = [:]
    }

    /// What a cell answers to a request that this cloud itself does not know; nil for a failure of the cell.
    package typealias Answers = @Sendable (any CellRequest) -> (any Sendable)?

    let state = Mutex(State())
    private let networks: InMemoryNetworkStore
    private let now: @Sendable () -> Date

    package init(networks: InMemoryNetworkStore, now: @escaping @Sendable () -> Date) {
        self.networks = networks
        self.now = now
    }

    // MARK: What tests do

    package func addHost(_ name: HostName, in cell: CellPath, zone: String, id: ProviderID) {
        let inventory = HostInventory(
            vcpus: 4, memoryMiB: 8192, diskGiB: 100, hypervisorType: "QEMU", hypervisorVersion: 7_002_000,
            hypervisorHostname: "\(name).example", hostIP: "10.1.0.1", agentVersion: "1")
        let record = HostRecord(
            name: name, id: id, cell: cell, availabilityZone: zone, inventory: inventory, seenAt: now())
        state.withLock { $0.hosts.append(HostUsage(record: record, vcpusUsed: 1, memoryMiBUsed: 512, servers: 1)) }
    }

    package func put(_ instance: Instance, in cell: CellPath?) {
        state.withLock { $0.servers[instance.id] = Server(instance: instance, cell: cell) }
    }

    /// The server runs on `host` of `cell`.
    package func activate(_ id: ServerID, in cell: CellPath, host: HostName) {
        change(id) { server in
            server.cell = cell
            server.instance.host = host
            server.instance.availabilityZone = cell.name
            server.instance.state = ServerState(vm: .active, task: nil, power: .running)
            server.instance.launchedAt = now()
        }
    }

    package func setState(_ id: ServerID, _ newState: ServerState) { change(id) { $0.instance.state = newState } }
    /// Rows of these cells may be missing.
    package func setGaps(_ cells: [CellPath]) { state.withLock { $0.gaps = cells } }
    package func setAnswers(of cell: CellPath, _ answers: @escaping Answers) {
        state.withLock { $0.answers[cell] = answers }
    }
    package func setConsole(_ text: String) { state.withLock { $0.console = text } }
    package func setDown(_ cell: CellPath) { state.withLock { _ = $0.downCells.insert(cell) } }
    package func instance(_ id: ServerID) -> Instance? { state.withLock { $0.servers[id]?.instance } }
    package var calls: [CellPath: Int] { state.withLock { $0.calls } }
    package var finds: Int { state.withLock { $0.finds } }
    package var lastAccepted: NewServers.Server? { state.withLock { $0.accepted.last } }

    private func change(_ id: ServerID, _ body: (inout Server) -> Void) {
        state.withLock { state in
            guard var server = state.servers[id] else { return }
            body(&server)
            server.instance.version += 1
            state.servers[id] = server
        }
    }

    // MARK: HostDirectory

    package func hosts() async throws -> [HostUsage] {
        state.withLock { state in
            state.hosts.map { host in
                var host = host
                let zone = state.aggregates.first { $0.hosts.contains(host.record.name) && $0.zone != nil }?.zone
                host.record.availabilityZone = zone ?? host.record.availabilityZone
                return host
            }
        }
    }

    package func order(_ order: PlacementOrder, of host: HostName) async throws -> HostUsage? {
        state.withLock { state in
            guard let index = state.hosts.firstIndex(where: { $0.record.name == host }) else { return nil }
            state.hosts[index].order = order
            state.hosts[index].record.isEnabled = order.isOpen
            state.hosts[index].record.disabledReason = order.isOpen ? nil : order.reason
            return state.hosts[index]
        }
    }

    // MARK: ServerAcceptance

    package func accept(_ servers: NewServers) async throws -> [Instance] {
        let instances = servers.servers.map(\.build.instance)
        guard let project = instances.first?.projectID else { return [] }
        if servers.isRepeatable {
            let earlier = state.withLock { state in instances.filter { state.servers[$0.id] != nil } }
            guard earlier.isEmpty else { return earlier }
        }
        let added = ComputeUsage(
            instances: instances.count, cores: instances.reduce(0) { $0 + $1.flavor.vcpus },
            memoryMiB: instances.reduce(0) { $0 + $1.flavor.memoryMiB })
        try servers.quota.check(used: try await usage(of: project), added: added)
        let user = instances.first?.userID
        try servers.userQuota?.check(used: try await usage(of: project, user: user), added: added)
        try state.withLock { try Self.checkGroup(of: servers, $0) }
        var accepted: [Instance] = []
        for server in servers.servers {
            var instance = server.build.instance
            let reserved = try networks.reserve(server.ports, now: now())
            instance.interfaces = reserved.interfaces
            instance.securityGroups = reserved.securityGroups
            accepted.append(instance)
        }
        let result = accepted
        state.withLock { state in
            state.accepted += servers.servers
            for instance in result {
                state.servers[instance.id] = Server(instance: instance, cell: nil)
                state.members[instance.id] = servers.group
            }
        }
        return accepted
    }

    package func delete(_ id: ServerID, requestID: String, caller: Caller) async throws -> ServerDeletion {
        let outcome = state.withLock { state -> ServerDeletion in
            guard var server = state.servers[id], server.instance.state.vm != .deleted else { return .notFound }
            guard server.cell != nil else {
                state.servers[id] = nil
                state.members[id] = nil
                return .deleted
            }
            server.instance.state.task = .deleting
            state.servers[id] = server
            return .requested
        }
        if outcome == .deleted { networks.release(id) }
        return outcome
    }
}
