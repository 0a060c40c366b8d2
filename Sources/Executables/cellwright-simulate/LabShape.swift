import CloudModel
import Simulation
import Topology

/// What one laboratory is made of.
struct LabShape: Sendable {
    /// As it was read: flavors, users, and what a host of its first leaf has.
    let topology: Topology
    let tree: LabTree
    let hostsPerCell: Int
    let instances: Int
    let isBrokerReal: Bool
    let boots: Int
    let pages: Int
    let rest: Duration

    var hosts: Int { tree.leaves.count * hostsPerCell }

    /// The cells that the development cloud makes virtual hosts for, without hosts, because it runs none. What lies below
    /// branches is in this process's memory unless the broker is real.
    var development: Topology {
        func cell(_ path: CellPath, _ content: Topology.Cell.Content) -> Topology.Cell {
            Topology.Cell(
                path: path, controlHosts: topology.root.controlHosts, database: topology.root.database,
                broker: topology.root.broker, content: content)
        }
        var result = topology
        let children =
            tree.branches.isEmpty
            ? tree.leaves.map { cell($0, .hosts([])) }
            : tree.branches.map { branch in
                let leaves = isBrokerReal ? tree.leaves(below: branch) : []
                return cell(branch, .children(leaves.map { cell($0, .hosts([])) }))
            }
        result.root.content = .children(children)
        result.bootstrap.images = []
        return result
    }

    /// How services and hosts of each cell are set.
    var pace: SimulatedLeaf.Pace {
        var pace = SimulatedLeaf.Pace(cells: tree.leaves.count)
        guard let host = topology.cells.first(where: \.isLeaf)?.hosts.first else { return pace }
        pace.hosts.vcpus = host.capacity.vcpus ?? pace.hosts.vcpus
        pace.hosts.memoryMiB = host.capacity.memoryMiB ?? pace.hosts.memoryMiB
        pace.hosts.diskGiB = host.capacity.diskGiB ?? pace.hosts.diskGiB
        pace.hosts.availabilityZone = host.availabilityZone
        return pace
    }

    enum LeafDatabases: Equatable {
        /// With so many sessions each.
        case own(sessions: Int)
        /// With so many sessions in all.
        case shared(sessions: Int)
    }

    /// Each leaf has a database of its own as long as a machine holds as many sessions as they would have in a cloud. More
    /// have schemas of their own in one database: a thousand server processes on one machine would be what is measured.
    var leafDatabases: LeafDatabases {
        tree.leaves.count <= SimulatedLeaf.Pace.unstretched ? .own(sessions: 4) : .shared(sessions: 4)
    }

    /// As a branch's supervisor has by itself; it listens on two more.
    static let sessionsPerBranch = 4

    /// Of the database server, with room for the root's and for those that make databases.
    var sessions: Int {
        let ofLeaves =
            switch leafDatabases {
            case .own(let sessions): tree.leaves.count * sessions
            case .shared(let sessions): sessions
            }
        return ofLeaves + tree.branches.count * (Self.sessionsPerBranch + 2) + 100
    }
}
