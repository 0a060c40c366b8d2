package import CloudModel

/// Data of users that a plan would take away with a cell, or with a part of it.
package struct DataLoss: Sendable, Equatable, Codable {
    /// What must be named with `--allow-data-loss` before anything of it is done.
    package var cell: CellPath
    /// The hosts of it whose servers are lost; empty when all of the cell is.
    package var hosts: [HostName] = []
    /// What holds the data, as sentences: `drop database cellwright_south`.
    package var actions: [String]
    /// Servers that are lost; `nil` when nobody could tell how many there are.
    package var servers: Int?
    /// Projects that own them; `nil` when nobody could tell.
    package var projects: Int?

    /// `cell /south with 12 servers of 3 projects`
    package var subject: String {
        if cell.isRoot { return "the root, which holds accounts, images and the directory of all servers" }
        let place =
            hosts.isEmpty
            ? "cell \(cell)"
            : "\(hosts.count == 1 ? "host" : "hosts") \(hosts.map(\.text).joined(separator: ", ")) of cell \(cell)"
        guard let servers, let projects else { return "\(place), of whose servers nobody could ask" }
        return "\(place) with \(Counted(servers, "server")) of \(Counted(projects, "project"))"
    }

    /// Data that `removals` would destroy, by cell. Pure: the plan and the apply both go by it.
    ///
    /// A leaf cell holds data when it has servers or cannot be asked. Its database, its entry at its parent and the queue of
    /// a host with servers must not go then. The root's database and the API's folder of images always hold data.
    static func find(in removals: [PlanAction], usage: [CellPath: CellUsage]) -> [DataLoss] {
        var losses: [CellPath: DataLoss] = [:]
        var places: [CellPath: LostPlaces] = [:]
        for action in removals where action.specification == nil {
            guard let (cell, place) = held(by: action.resource, usage: usage) else { continue }
            losses[cell, default: DataLoss(cell: cell, actions: [])].actions.append(action.what)
            places[cell, default: LostPlaces()].add(place)
        }
        return losses.values.sorted { $0.cell < $1.cell }.map { loss in
            var loss = loss
            if let lost = places[loss.cell], !lost.isWhole { loss.hosts = lost.hosts.sorted() }
            guard !loss.cell.isRoot, let cell = usage[loss.cell], let lost = places[loss.cell]?.usage(in: cell) else {
                return loss
            }
            loss.servers = lost.instances
            loss.projects = lost.projects.count
            return loss
        }
    }

    private static func held(by id: Resource.ID, usage: [CellPath: CellUsage]) -> (CellPath, LostPlaces.Place)? {
        switch id.kind {
        case .database:
            guard let cell = CellPath(resourceName: id.name) else { return nil }
            return cell.isRoot || usage[cell]?.total.instances != 0 ? (cell, .cell) : nil
        case .cellMapping:
            guard let cell = id.cell else { return nil }
            return usage[cell]?.total.instances != 0 ? (cell, .cell) : nil
        case .hostQueue:
            guard let cell = id.cell else { return nil }
            let host = HostName(id.name)
            guard let known = usage[cell] else { return (cell, .host(host)) }
            return (known.hosts[host]?.instances ?? 0) > 0 ? (cell, .host(host)) : nil
        case .directory:
            if id.name == ProcessLayout.Paths.images { return (.root, .cell) }
            guard id.name == ProcessLayout.Paths.computeState, let host = id.host,
                let cell = usage.filter({ ($0.value.hosts[host]?.instances ?? 0) > 0 }).keys.min()
            else { return nil }
            return (cell, .host(host))
        case .packages, .account, .file, .unit, .databaseRole, .brokerVhost, .brokerUser, .brokerPermissions, .schema,
            .gate, .project, .user, .flavor, .network, .image:
            return nil
        }
    }
}

/// The parts of a cell that are lost: all of it, or some hosts.
private struct LostPlaces {
    enum Place {
        case cell
        case host(HostName)
    }

    var isWhole = false
    var hosts: Set<HostName> = []

    mutating func add(_ place: Place) {
        switch place {
        case .cell: isWhole = true
        case .host(let host): hosts.insert(host)
        }
    }

    func usage(in cell: CellUsage) -> Usage {
        isWhole ? cell.total : hosts.reduce(Usage()) { $0 + (cell.hosts[$1] ?? Usage()) }
    }
}

/// An apply that would destroy data nobody allowed to be destroyed.
package struct DataLossRefusal: Error, Sendable, Equatable, CustomStringConvertible {
    package let losses: [DataLoss]

    package var description: String {
        let subjects = losses.map(\.subject).joined(separator: "; ")
        let options = losses.map { "--allow-data-loss \($0.cell)" }.joined(separator: " ")
        return "this would destroy data: \(subjects). Move or delete the servers first, or put it back into the "
            + "topology; to lose it on purpose, add \(options)"
    }
}

extension Plan {
    /// - Parameter allowed: cells that were named with `--allow-data-loss`.
    /// - Throws: when data of another cell would be destroyed.
    package func refuseLosses(except allowed: Set<CellPath>) throws(DataLossRefusal) {
        let refused = losses.filter { !allowed.contains($0.cell) }
        guard refused.isEmpty else { throw DataLossRefusal(losses: refused) }
    }
}

/// `1 server`, `2 servers`.
struct Counted: CustomStringConvertible {
    private let count: Int
    private let noun: String
    private let plural: String

    init(_ count: Int, _ noun: String, _ plural: String? = nil) {
        self.count = count
        self.noun = noun
        self.plural = plural ?? noun + "s"
    }

    var description: String { "\(count) \(count == 1 ? noun : plural)" }
}
