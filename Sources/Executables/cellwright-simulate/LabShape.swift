import CloudModel
import Simulation
import Topology

/// What one laboratory is made of.
struct LabShape: Sendable {
    /// As it was read: flavors, users, and what a host of its first leaf has.
    let topology: Topology
    /// Leaves.
    let cells: Int
    let hostsPerCell: Int
    let instances: Int
    let isBrokerReal: Bool
    let boots: Int
    let pages: Int
    let rest: Duration

    init(
        topology: Topology, cells: Int, hostsPerCell: Int?, instances: Int, isBrokerReal: Bool, boots: Int,
        pages: Int, rest: Duration
    ) {
        self.topology = topology
        self.cells = cells
        self.hostsPerCell = hostsPerCell ?? max(1, topology.cells.first(where: \.isLeaf)?.hosts.count ?? 1)
        self.instances = instances
        self.isBrokerReal = isBrokerReal
        self.boots = boots
        self.pages = pages
        self.rest = rest
    }

    /// The cells directly below the root, as the development cloud maps them: without hosts, because it runs none.
    var development: Topology {
        var result = topology
        let children = (1...cells).compactMap { CellPath.root.child("c\($0)") }.map { path in
            Topology.Cell(
                path: path, controlHosts: topology.root.controlHosts, database: topology.root.database,
                broker: topology.root.broker, content: .hosts([]))
        }
        result.root.content = .children(children)
        result.bootstrap.images = []
        return result
    }

    /// How services and hosts of each cell are set.
    var pace: SimulatedLeaf.Pace {
        var pace = SimulatedLeaf.Pace(cells: cells)
        guard let host = topology.cells.first(where: \.isLeaf)?.hosts.first else { return pace }
        pace.hosts.vcpus = host.capacity.vcpus ?? pace.hosts.vcpus
        pace.hosts.memoryMiB = host.capacity.memoryMiB ?? pace.hosts.memoryMiB
        pace.hosts.diskGiB = host.capacity.diskGiB ?? pace.hosts.diskGiB
        pace.hosts.availabilityZone = host.availabilityZone
        return pace
    }

    /// Sessions of each leaf with its database: what a machine holds, shared among the leaves.
    var sessionsPerCell: Int { cells <= 50 ? 4 : cells <= 200 ? 2 : 1 }
    /// Of the database server, with room for the root's and for those that make databases.
    var sessions: Int { cells * sessionsPerCell + 100 }
}
