import CloudModel
import Primitives

/// The part of a desired state that a plan has to look at one by one, and what of the facts is wanted at all.
///
/// Of a large cloud most compute hosts are just as they should be. Those are recognised by a ``HostTemplate`` and left out
/// before anything is written down; what is left is compared as always. The result is the same plan.
struct PlanScope {
    /// Each after what it depends on.
    let resources: [Resource]
    /// What was found of each.
    let found: [ObservedFacts.Observation?]
    private let clean: [CleanHosts]

    init(_ desired: DesiredState, _ observed: ObservedFacts) {
        var resources: [Resource]?
        var clean: [CleanHosts] = []
        if let large = desired.large {
            clean = Self.cleanHosts(large, observed)
            let names = Set(clean.flatMap { $0.hosts.map(\.name) })
            let rest = DesiredState.written(large.topology.keepingHosts { !names.contains($0.name) }, large.inputs)
            // A template that told anything else than the builder writes would lose things: then everything is written.
            resources = Self.areRight(clean, rest, large.inputs) ? rest : nil
        }
        self.clean = resources == nil ? [] : clean
        self.resources = resources ?? desired.resources
        found = self.resources.concurrentMap { observed.observations[$0.id] }
    }

    /// Resources that were found and that nothing wants.
    func unwanted(_ observed: ObservedFacts) -> [Resource.ID] {
        let seen = found.reduce(0) { $0 + ($1 == nil ? 0 : 1) }
        let others = clean.reduce(0) { $0 + $1.template.count * $1.hosts.count }
        guard seen + others != observed.observations.count else { return [] }
        var wanted = Set<Resource.ID>(
            minimumCapacity: clean.reduce(resources.count) { $0 + $1.template.elsewhere.count * $1.hosts.count })
        for resource in resources { wanted.insert(resource.id) }
        for group in clean {
            for host in group.hosts { wanted.formUnion(group.template.idsElsewhere(host)) }
        }
        let names = Set(clean.flatMap { $0.hosts.map(\.name) })
        return observed.observations.places.flatMap { place, content -> [Resource.ID] in
            // Nothing but what is wanted is on a clean host.
            if let host = place.host, names.contains(host) { return [] }
            return content.names.map { Resource.ID($0, in: place) }.filter { !wanted.contains($0) }
        }
    }

    // MARK: Clean hosts

    private struct CleanHosts {
        let template: HostTemplate
        /// A host of the group that is written down nevertheless, so that a cell never looks as if it had none.
        let kept: Topology.Host
        let hosts: [Topology.Host]
    }

    private static func cleanHosts(_ large: DesiredState.Large, _ observed: ObservedFacts) -> [CleanHosts] {
        let groups = HostGroup.groups(of: large.topology)
        let standIns = Dictionary(grouping: groups, by: \.cell.path)
        let topology = large.topology.withHosts { cell in standIns[cell.path]?.map(\.standIn) ?? [] }
        let builder = DesiredStateBuilder(topology: topology, inputs: large.inputs)
        return groups.concurrentMap { cleanHosts($0, builder, observed) }.compactMap { $0 }
    }

    private static func cleanHosts(
        _ group: HostGroup, _ builder: DesiredStateBuilder, _ observed: ObservedFacts
    ) -> CleanHosts? {
        guard let template = builder.template(group.standIn, of: group.cell) else { return nil }
        var comparison = HostComparison(template, inputs: builder.inputs, observed: observed)
        let clean = group.hosts.filter { comparison.isClean($0) }
        guard let kept = clean.first else { return nil }
        return CleanHosts(template: template, kept: kept, hosts: Array(clean.dropFirst()))
    }

    /// Whether the template of every kept host tells exactly what was written down for it.
    private static func areRight(
        _ clean: [CleanHosts], _ resources: [Resource], _ inputs: DesiredState.Inputs
    ) -> Bool {
        var places: [HostName: [Int]] = [:]
        for group in clean { places[group.kept.name] = [] }
        for (place, resource) in resources.enumerated() {
            guard let host = resource.id.computeHost ?? resource.id.host else { continue }
            places[host]?.append(place)
        }
        let written = places
        let areRight = clean.concurrentMap { group in
            let own = (written[group.kept.name] ?? []).map { (resources[$0].id, resources[$0].attributes) }
            return group.template.attributes(of: group.kept, inputs: inputs)
                == Dictionary(own, uniquingKeysWith: { first, _ in first })
        }
        return areRight.allSatisfy(\.self)
    }
}

/// Compute hosts of a cell that differ in name and address only.
private struct HostGroup {
    /// Fewer are not worth a template.
    private static let least = 4

    let cell: Topology.Cell
    /// Like them, with a name and an address that no host has.
    let standIn: Topology.Host
    private(set) var hosts: [Topology.Host]

    static func groups(of topology: Topology) -> [HostGroup] {
        let busy = topology.busyHosts
        var groups: [HostGroup] = []
        var number = 0
        for cell in topology.cells where cell.isLeaf {
            var own: [HostGroup] = []
            for host in cell.hosts where !busy.contains(host.name) {
                if let place = own.firstIndex(where: { $0.standIn.isLike(host) }) {
                    own[place].hosts.append(host)
                } else {
                    own.append(HostGroup(host, of: cell, number: number))
                    number += 1
                }
            }
            groups += own.filter { $0.hosts.count >= least }
        }
        return groups
    }

    private init(_ host: Topology.Host, of cell: Topology.Cell, number: Int) {
        self.cell = cell
        var standIn = host
        standIn.name = HostName("cellwright-host-template-\(number)-")
        standIn.address = "cellwright-host-template-address-\(number)-"
        self.standIn = standIn
        hosts = [host]
    }
}

extension Topology.Host {
    /// Whether it runs the same agent in the same way.
    fileprivate func isLike(_ other: Topology.Host) -> Bool {
        hypervisor == other.hypervisor && capacity == other.capacity && availabilityZone == other.availabilityZone
            && labels == other.labels
    }
}

extension Topology {
    /// The same topology with fewer compute hosts.
    package func keepingHosts(_ isKept: (Host) -> Bool) -> Topology {
        withHosts { $0.hosts.filter(isKept) }
    }

    /// The same topology with other hosts in its leaf cells.
    fileprivate func withHosts(_ hosts: (Cell) -> [Host]) -> Topology {
        func visit(_ cell: Cell) -> Cell {
            var cell = cell
            cell.content = cell.isLeaf ? .hosts(hosts(cell)) : .children(cell.children.map(visit))
            return cell
        }
        var result = self
        result.root = visit(root)
        return result
    }

    /// Hosts that do more than compute.
    fileprivate var busyHosts: Set<HostName> {
        var names = Set(api.hosts)
        for cell in cells {
            names.formUnion(cell.controlHosts)
            if case .embedded(let server) = cell.database { names.insert(server.host) }
            if case .embedded(let server) = cell.broker { names.insert(server.host) }
        }
        return names
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
