import CloudModel

/// What the builder looks up again and again, found once: a topology may have a hundred thousand hosts.
struct DesiredStateIndex {
    let layout: ProcessLayout
    let usesTLS: Bool
    let roles: [HostName: Set<HostRole>]
    let addresses: [HostName: String]
    let users: [CellPath: [ProcessLayout.BrokerUser]]
    let hostUsers: [HostName: ProcessLayout.BrokerUser]
    /// Where each cell's broker is.
    let brokerPlaces: [CellPath: HostName]
    /// Hosts on which existing databases are administered.
    let databaseClients: Set<HostName>
    /// Hosts with processes that verify existing servers by what the host's own system trusts.
    let trustingSystem: Set<HostName>
    private let processes: [CellPath: [ProcessLayout.Kind: [ProcessLayout.Process]]]

    init(_ topology: Topology) {
        layout = ProcessLayout(topology)
        usesTLS = topology.usesTLS
        roles = topology.rolesByHost
        addresses = Dictionary(
            topology.hosts.map { ($0.name, $0.reachableAt) }, uniquingKeysWith: { first, _ in first })
        users = Dictionary(grouping: layout.brokerUsers, by: \.cell)
        hostUsers = Dictionary(
            layout.brokerUsers.compactMap { user in user.host.map { ($0, user) } },
            uniquingKeysWith: { first, _ in first })
        brokerPlaces = Dictionary(
            topology.cells.map { ($0.path, $0.brokerServer.place) }, uniquingKeysWith: { first, _ in first })
        databaseClients = Set(
            topology.cells.filter { $0.databaseServer.host == nil }.flatMap(\.controlHosts))
        trustingSystem = Set(
            layout.processes.filter {
                $0.configuration.authorities.contains(ProcessLayout.Paths.systemAuthorities)
            }.map(\.host))
        processes = layout.processes.reduce(into: [:]) { $0[$1.cell, default: [:]][$1.kind, default: []].append($1) }
    }

    func processes(_ kind: ProcessLayout.Kind, _ cell: CellPath) -> [ProcessLayout.Process] {
        processes[cell]?[kind] ?? []
    }
}
