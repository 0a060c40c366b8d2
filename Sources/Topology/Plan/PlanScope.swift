import CloudModel
import Dispatch
import Synchronization

/// The part of a desired state that a plan has to look at one by one, and what of the facts is wanted at all.
///
/// Of a large cloud most compute hosts are just as they should be. Those are recognised by a ``HostTemplate`` and left out
/// before anything is written down; what is left is compared as always. The result is the same plan.
struct PlanScope {
    /// Each after what it depends on.
    let resources: [Resource]
    private let templates: [(template: HostTemplate, hosts: [Topology.Host])]
    private let cleanCount: Int

    init(_ desired: DesiredState, _ observed: ObservedFacts) {
        guard let large = desired.large else {
            resources = desired.resources
            templates = []
            cleanCount = 0
            return
        }
        let groups = HostGroups(large.topology)
        let clean = Self.clean(groups.groups, large, observed)
        let names = Set(clean.flatMap { $0.hosts.map(\.name) })
        let rest = DesiredState.written(large.topology.keepingHosts { !names.contains($0.name) }, large.inputs)
        // A template that told less than the builder writes would lose things: then everything is written down.
        guard Self.isComplete(clean, in: rest) else {
            resources = desired.resources
            templates = []
            cleanCount = 0
            return
        }
        resources = rest
        templates = clean.map { ($0.template, $0.hosts) }
        cleanCount = clean.reduce(0) { $0 + $1.template.count * $1.hosts.count }
    }

    /// Resources that were found and that nothing wants.
    func unwanted(_ observed: ObservedFacts) -> [Resource.ID] {
        let seen = resources.reduce(0) { $0 + (observed.observations[$1.id] == nil ? 0 : 1) }
        guard cleanCount == 0 || seen + cleanCount != observed.observations.count else { return [] }
        var wanted = Set(resources.map(\.id))
        for (template, hosts) in templates {
            for host in hosts { wanted.formUnion(template.ids(host)) }
        }
        return observed.observations.keys.filter { !wanted.contains($0) }
    }

    // MARK: Clean hosts

    private struct CleanHosts {
        let template: HostTemplate
        /// A host of the group that is written down nevertheless, so that a cell never looks as if it had none.
        let kept: HostName
        let hosts: [Topology.Host]
    }

    private static func clean(
        _ groups: [HostGroups.Group], _ large: DesiredState.Large, _ observed: ObservedFacts
    ) -> [CleanHosts] {
        let found = Mutex<[Int: CleanHosts]>([:])
        DispatchQueue.concurrentPerform(iterations: groups.count) { index in
            let group = groups[index]
            guard let clean = clean(group, large, observed) else { return }
            found.withLock { $0[index] = clean }
        }
        return found.withLock { clean in clean.sorted { $0.key < $1.key }.map(\.value) }
    }

    private static func clean(
        _ group: HostGroups.Group, _ large: DesiredState.Large, _ observed: ObservedFacts
    ) -> CleanHosts? {
        guard let example = group.hosts.first else { return nil }
        let template: HostTemplate?
        do {
            template = try DesiredStateBuilder.template(
                like: example, of: group.cell, in: large.topology, inputs: large.inputs)
        } catch {
            return nil  // Written down one by one instead, where the same is met.
        }
        guard let template else { return nil }
        let clean = group.hosts.filter { host in
            template.allSatisfy(host, inputs: large.inputs) { id, wanted in
                guard case .present(let attributes) = observed[id] else { return false }
                return wanted == attributes || wanted.allSatisfy { attributes[$0.key] == $0.value }
            }
        }
        guard let kept = clean.first else { return nil }
        return CleanHosts(template: template, kept: kept.name, hosts: Array(clean.dropFirst()))
    }

    /// Whether the template of every kept host tells exactly what was written down for it.
    private static func isComplete(_ clean: [CleanHosts], in resources: [Resource]) -> Bool {
        var counts = Dictionary(clean.map { ($0.kept, 0) }, uniquingKeysWith: { first, _ in first })
        for resource in resources {
            guard let host = resource.id.computeHost ?? resource.id.host, let count = counts[host] else { continue }
            counts[host] = count + 1
        }
        return clean.allSatisfy { counts[$0.kept] == $0.template.count }
    }
}

/// Compute hosts that differ in name and address only, by cell.
private struct HostGroups {
    struct Group {
        let cell: Topology.Cell
        var hosts: [Topology.Host]
    }

    private struct Kind: Hashable {
        let hypervisor: Topology.Hypervisor
        let capacity: Topology.Capacity
        let availabilityZone: String
        let labels: [String: String]
    }

    /// Fewer are not worth a template.
    private static let least = 4

    private(set) var groups: [Group] = []

    init(_ topology: Topology) {
        let others = Self.busyHosts(topology)
        for cell in topology.cells where cell.isLeaf {
            var places: [Kind: Int] = [:]
            var own: [Group] = []
            for host in cell.hosts where !others.contains(host.name) {
                let kind = Kind(
                    hypervisor: host.hypervisor, capacity: host.capacity, availabilityZone: host.availabilityZone,
                    labels: host.labels)
                if let place = places[kind] {
                    own[place].hosts.append(host)
                } else {
                    places[kind] = own.count
                    own.append(Group(cell: cell, hosts: [host]))
                }
            }
            groups += own.filter { $0.hosts.count >= Self.least }
        }
    }

    /// Hosts that do more than compute.
    private static func busyHosts(_ topology: Topology) -> Set<HostName> {
        var names = Set(topology.api.hosts)
        for cell in topology.cells {
            names.formUnion(cell.controlHosts)
            if case .embedded(let server) = cell.database { names.insert(server.host) }
            if case .embedded(let server) = cell.broker { names.insert(server.host) }
        }
        return names
    }
}

extension Topology {
    /// The same topology with fewer compute hosts.
    package func keepingHosts(_ isKept: (Host) -> Bool) -> Topology {
        func visit(_ cell: Cell) -> Cell {
            var cell = cell
            switch cell.content {
            case .children(let cells): cell.content = .children(cells.map(visit))
            case .hosts(let hosts): cell.content = .hosts(hosts.filter(isKept))
            }
            return cell
        }
        var result = self
        result.root = visit(root)
        return result
    }
}

extension Resource.ID {
    /// The compute host that a thing on a broker or in a cell is for.
    fileprivate var computeHost: HostName? {
        switch kind {
        case .hostQueue: HostName(name)
        case .brokerUser, .brokerPermissions:
            name.hasPrefix("host.") ? HostName(String(name.dropFirst("host.".count))) : nil
        default: nil
        }
    }
}
