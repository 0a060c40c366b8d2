import CloudModel

/// What the builder looks up again and again, found once: a topology may have a hundred thousand hosts.
struct DesiredStateIndex {
    let layout: ProcessLayout
    let usesTLS: Bool
    let roles: [HostName: Set<HostRole>]
    let addresses: [HostName: String]
    let users: [CellPath: [ProcessLayout.BrokerUser]]
    let hostUsers: [HostName: ProcessLayout.BrokerUser]
    /// The host of each cell's broker; `nil` inside for an existing one.
    let brokerHosts: [CellPath: HostName?]
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
        brokerHosts = Dictionary(
            topology.cells.map { cell -> (CellPath, HostName?) in
                switch cell.broker {
                case .embedded(let server): (cell.path, server.host)
                case .existing: (cell.path, nil)
                }
            }, uniquingKeysWith: { first, _ in first })
        processes = layout.processes.reduce(into: [:]) { $0[$1.cell, default: [:]][$1.kind, default: []].append($1) }
    }

    func processes(_ kind: ProcessLayout.Kind, _ cell: CellPath) -> [ProcessLayout.Process] {
        processes[cell]?[kind] ?? []
    }
}
