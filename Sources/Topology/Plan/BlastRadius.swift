package import CloudModel

/// How far a plan reaches among users: what they will notice, and whose servers are behind what is disturbed.
///
/// A server counts when the agent of its host, a process or a server program of its cell is restarted, replaced or
/// destroyed, or its data is. Guests themselves run on through all but a data loss.
package struct BlastRadius: Sendable, Equatable {
    /// Cells of which anything is disturbed.
    package let cells: [CellPath]
    /// Servers in them, or on the hosts that are disturbed; cells that could not be asked count 0.
    package let servers: Int
    package let projects: Int
    /// Disturbed cells whose servers nobody could count.
    package let uncounted: [CellPath]
    /// Sentences, the gravest first; empty when users notice nothing.
    package let notices: [String]

    init(actions: [PlanAction], losses: [DataLoss], desired: [Resource], usage: [CellPath: CellUsage]) {
        let disturbances = Disturbances(actions, desired: desired)
        cells = Set(disturbances.cells).union(disturbances.hosts.values).union(losses.map(\.cell)).sorted()
        var touched = Usage()
        let whole = disturbances.cells.union(losses.filter(\.hosts.isEmpty).map(\.cell))
        let hosts = Set(disturbances.hosts.keys).union(losses.flatMap(\.hosts))
        for (cell, known) in usage {
            if whole.contains(cell) {
                touched = touched + known.total
            } else {
                for (host, own) in known.hosts where hosts.contains(host) { touched = touched + own }
            }
        }
        servers = touched.instances
        projects = touched.projects.count
        // A cell that is being made has no servers yet.
        let made = Set(actions.filter { $0.resource.kind == .database && $0.effect == .create }.compactMap(\.cell))
        uncounted = cells.filter { !$0.isRoot && usage[$0] == nil && !made.contains($0) }
        notices = NoticeWriter(disturbances, losses: losses, actions: actions).notices()
    }
}

/// Which running things a plan disturbs, by what they do for users.
struct Disturbances {
    /// Cells whose control plane, database or broker is.
    private(set) var cells: Set<CellPath> = []
    /// Hosts whose agent or hypervisor daemon is, with the cell of each.
    private(set) var hosts: [HostName: CellPath] = [:]
    private(set) var apiHosts: [HostName] = []
    private(set) var stoppedAPIHosts: [HostName] = []
    private(set) var supervised: Set<CellPath> = []
    private(set) var conducted: Set<CellPath> = []
    /// Server programs that restart, with the host and the cells that use them.
    private(set) var servers: [(name: String, host: HostName, cells: [CellPath])] = []

    init(_ actions: [PlanAction], desired: [Resource]) {
        let disturbing = actions.filter { $0.resource.kind == .unit && $0.effect.isDisturbing }
        guard !disturbing.isEmpty else { return }
        let users = Self.users(of: Set(disturbing.compactMap(\.host)), desired)
        for action in disturbing {
            guard let host = action.host else { continue }
            add(action, host: host, users: users)
        }
    }

    private mutating func add(_ action: PlanAction, host: HostName, users: Users) {
        let name = action.resource.name
        if action.effect == .destroy {
            if name.hasPrefix(ProcessLayout.Kind.api.binary) { stoppedAPIHosts.append(host) }
            return
        }
        if let kind = ProcessLayout.Kind.allCases.first(where: { name.hasPrefix($0.binary) }) {
            switch (kind, action.cell) {
            case (.api, _): apiHosts.append(host)
            case (.supervisor, let cell?):
                supervised.insert(cell)
                cells.insert(cell)
            case (.conductor, let cell?):
                conducted.insert(cell)
                cells.insert(cell)
            case (.compute, let cell?): hosts[host] = cell
            case (_, nil): return
            }
        } else if name == DebianFiles.postgresUnit {
            let cells = (users.databases[host] ?? []).sorted()
            servers.append(("PostgreSQL", host, cells))
            self.cells.formUnion(cells)
        } else if name == DebianFiles.rabbitUnit {
            let cells = (users.brokers[host] ?? []).sorted()
            servers.append(("RabbitMQ", host, cells))
            self.cells.formUnion(cells)
        } else if name == DebianFiles.libvirtUnit, let cell = users.agents[host] {
            hosts[host] = cell
        }
    }

    private struct Users {
        var databases: [HostName: Set<CellPath>] = [:]
        var brokers: [HostName: Set<CellPath>] = [:]
        var agents: [HostName: CellPath] = [:]
    }

    private static func users(of hosts: Set<HostName>, _ desired: [Resource]) -> Users {
        var users = Users()
        for resource in desired {
            guard let host = resource.id.host, let cell = resource.cell, hosts.contains(host) else { continue }
            switch resource.id.kind {
            case .database: users.databases[host, default: []].insert(cell)
            case .brokerVhost: users.brokers[host, default: []].insert(cell)
            case .unit where resource.id.name.hasPrefix(ProcessLayout.Kind.compute.binary): users.agents[host] = cell
            default: continue
            }
        }
        return users
    }
}

extension PlanEffect {
    /// Whether something that runs ends, for a moment or for good.
    package var isDisturbing: Bool {
        switch self {
        case .restart, .replace, .destroy: true
        case .none, .create, .reload: false
        }
    }
}
