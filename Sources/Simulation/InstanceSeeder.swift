import CellProtocol
package import CloudModel
package import FoundationEssentials
package import Primitives
package import ServerLifecycle

/// Servers that are there when a laboratory begins, written into the cells' databases through the cells' own store, each
/// with the event that it runs: the parents hear of them as they would after having been away.
///
/// Their ages are chosen so that two pages can be asked for: the newest ``fewCount`` are all in the first cell, the
/// oldest go through all cells in turn.
package struct InstanceSeeder: Sendable {
    package static let fewCount = 100
    /// Servers written in one transaction.
    static let batch = 500

    let count: Int
    let cells: Int
    let project: ProjectID
    let user: UserID
    let flavor: Flavor
    let zone: String
    let now: Date
    let ids: any IDSource

    /// - Parameters:
    ///   - count: of all cells together, at least ``fewCount``.
    ///   - cells: leaves.
    package init(
        count: Int, cells: Int, project: ProjectID, user: UserID, flavor: Flavor, zone: String, now: Date,
        ids: any IDSource
    ) {
        self.count = count
        self.cells = cells
        self.project = project
        self.user = user
        self.flavor = flavor
        self.zone = zone
        self.now = now
        self.ids = ids
    }

    /// How many servers a leaf gets, by its number from 0.
    package func share(of cell: Int) -> Int { ranks(of: cell).count }

    /// Ages of a leaf's servers, 0 for the oldest of all.
    private func ranks(of cell: Int) -> [Int] {
        let spread = max(0, count - Self.fewCount)
        let own = Array(stride(from: cell, to: spread, by: cells))
        return cell == 0 ? own + Array(spread..<count) : own
    }

    /// Writes a leaf's servers.
    /// - Returns: which run where.
    package func seed(
        cell: Int, hosts: [HostName], into store: any CellStore
    ) async throws(CellStoreError) -> [HostName: [ServerID]] {
        var guests: [HostName: [ServerID]] = [:]
        guard !hosts.isEmpty else { return guests }
        let all = ranks(of: cell)
        for start in stride(from: 0, to: all.count, by: Self.batch) {
            let servers = all[start..<min(start + Self.batch, all.count)].map { rank in
                StoredServer(
                    instance: instance(rank, on: hosts[rank / cells % hosts.count]),
                    build: BuildContext(requestID: "-", publicKey: nil, image: nil))
            }
            for server in servers {
                if let host = server.instance.host { guests[host, default: []].append(server.instance.id) }
            }
            var changes = CellChanges()
            changes.servers = Dictionary(uniqueKeysWithValues: servers.map { ($0.instance.id, $0) })
            changes.events = servers.map { .instanceChanged(InstanceSummary($0.instance)) }
            let written = changes
            try await store.transact(CellScope()) { _ in CellDecision(written, ()) }
        }
        return guests
    }

    private func instance(_ rank: Int, on host: HostName) -> Instance {
        let createdAt = now - Double(count - rank)
        var instance = Instance(
            id: ids.next(), projectID: project, userID: user, name: "seeded-\(rank)", hostname: "seeded-\(rank)",
            flavor: flavor, image: nil, reservationID: "r-\(rank)", createdAt: createdAt)
        instance.host = host
        instance.state = ServerState(vm: .active, task: nil, power: .running)
        instance.version = 3
        instance.epoch = 1
        instance.availabilityZone = zone
        instance.launchedAt = createdAt + 1
        instance.updatedAt = createdAt + 1
        instance.metadata = ["role": "web"]
        instance.securityGroups = ["default"]
        instance.interfaces = [
            NetworkInterface(
                portID: ids.next(), networkID: ids.next(), networkName: "net", macAddress: "fa:16:3e:00:00:01",
                addresses: [
                    .init(
                        subnetID: ids.next(), address: "10.\(rank >> 16 & 255).\(rank >> 8 & 255).\(rank & 255)",
                        prefixLength: 8, gateway: "10.0.0.1", nameServers: [])
                ])
        ]
        return instance
    }
}
