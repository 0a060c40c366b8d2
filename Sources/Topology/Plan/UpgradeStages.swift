package import CloudModel

/// A plan that brings new executables, cut into stages: the canary cell, the other leaf cells, then the cells above
/// them, the root with the API last. Pure.
///
/// In each stage every file is in place before anything is restarted; then come supervisors, conductors (the API at the
/// root), one agent, and the other agents, each once those before it answer. Replicas come one after the other.
package struct UpgradeStages: Sendable, Equatable {
    package struct Stage: Sendable, Equatable {
        package var cell: CellPath
        package var actions: [PlanAction]
        /// Processes that are replaced, or were by an upgrade that was cut short.
        package var processes: [ProcessLayout.Process]
    }

    /// Why there can be no upgrade now.
    package enum Refusal: Error, Sendable, Equatable, CustomStringConvertible {
        /// What else the plan would do, the first few.
        case otherChanges([String])
        /// What could not be looked at, and why.
        case unknown([String])
        case noSuchCell(String)

        package var description: String {
            switch self {
            case .otherChanges(let list):
                "there are other changes than new executables; apply or undo them first: "
                    + list.joined(separator: ", ")
            case .unknown(let list): "not everything could be looked at: \(list.joined(separator: ", "))"
            case .noSuchCell(let name): "no cell \(name) runs anything that could be upgraded"
            }
        }
    }

    /// Changes that a refusal names.
    private static let shown = 5

    package let stages: [Stage]
    /// Removals of what an upgrade that was cut short left, once all stages are done.
    package let leftovers: [PlanAction]

    private struct Place: Hashable {
        let host: HostName
        let name: String
    }

    /// - Parameter canary: the cell to begin with; the first leaf unless given.
    package init(_ topology: Topology, layout: ProcessLayout, plan: Plan, canary: CellPath?) throws(Refusal) {
        if !plan.unknown.isEmpty {
            throw .unknown(plan.unknown.prefix(Self.shown).map { "\($0.resource) (\($0.reason))" })
        }
        if let canary, layout.processes.allSatisfy({ $0.cell != canary }) { throw .noSuchCell(canary.description) }
        var owners: [Place: Int] = [:]
        for (index, process) in layout.processes.enumerated() {
            for name in [process.unit] + process.replaceable + process.kept {
                owners[Place(host: process.host, name: name)] = index
            }
        }
        var own: [Int: [PlanAction]] = [:]
        var schemas: [CellPath: [PlanAction]] = [:]
        var ofHosts: [PlanAction] = []
        var leftovers: [PlanAction] = []
        var resumed: Set<Int> = []
        var others: [PlanAction] = []
        for action in plan.actions {
            let owner = action.host.flatMap { owners[Place(host: $0, name: action.resource.name)] }
            switch (action.resource.kind, owner) {
            case (.file, let owner?) where action.specification == nil:
                leftovers.append(action)
                resumed.insert(owner)
            case (.directory, _) where action.resource.name == ProcessLayout.Paths.previous: leftovers.append(action)
            case (.file, let owner?), (.unit, let owner?), (.gate, let owner?):
                own[owner, default: []].append(action)
            case (.schema, _): schemas[action.cell ?? .root, default: []].append(action)
            case (.packages, _) where action.specification != nil, (.account, _) where action.specification != nil,
                (.directory, _) where action.specification != nil:
                ofHosts.append(action)
            default: others.append(action)
            }
        }
        // A unit that does not run now is no matter of executables, unless an upgrade that was cut short left it so.
        for (index, actions) in own where !resumed.contains(index) {
            others += actions.filter { $0.resource.kind == .unit && $0.effect != .restart }
        }
        guard others.isEmpty else {
            throw .otherChanges(others.sorted { $0.id < $1.id }.prefix(Self.shown).map(\.what))
        }
        self.leftovers = leftovers
        stages = Self.order(topology, canary: canary).compactMap { cell in
            var actions = schemas[cell] ?? []
            var processes: [ProcessLayout.Process] = []
            for (index, process) in layout.processes.enumerated() where process.cell == cell {
                actions += own[index] ?? []
                if own[index] != nil || resumed.contains(index) { processes.append(process) }
            }
            let hosts = Set(processes.map(\.host))
            actions += ofHosts.filter { $0.host.map(hosts.contains) == true }
            ofHosts.removeAll { $0.host.map(hosts.contains) == true }
            guard !actions.isEmpty || !processes.isEmpty else { return nil }
            return Stage(cell: cell, actions: Self.ordered(actions, processes), processes: processes)
        }
    }

    /// A parent comes after its children, so that during an upgrade no cell has a newer parent.
    private static func order(_ topology: Topology, canary: CellPath?) -> [CellPath] {
        let leaves = topology.cells.filter(\.isLeaf).map(\.path)
        let inner = topology.cells.filter { !$0.isLeaf }.map(\.path).reversed()
        let first = canary ?? leaves.first ?? .root
        return [first] + (leaves + inner).filter { $0 != first }
    }

    private static func ordered(
        _ actions: [PlanAction], _ processes: [ProcessLayout.Process]
    ) -> [PlanAction] {
        let ranks = Dictionary(
            processes.map { (Place(host: $0.host, name: $0.unit), place($0, among: processes)) },
            uniquingKeysWith: { first, _ in first })
        func rank(_ action: PlanAction) -> Int? {
            guard [.unit, .gate].contains(action.resource.kind), let host = action.host else { return nil }
            return ranks[Place(host: host, name: action.resource.name)]
        }
        let ids = Set(actions.map(\.id))
        let files = actions.filter { rank($0) == nil && $0.resource.kind != .schema }.map(\.id)
        return actions.map { action in
            var action = action
            action.dependsOn = action.dependsOn.filter(ids.contains)
            action.dependsOnAny = action.dependsOnAny.filter(ids.contains)
            guard action.resource.kind == .unit, let own = rank(action) else { return action }
            let earlier = actions.filter { other in rank(other).map { $0 < own } ?? false }.map(\.id)
            action.dependsOn += (files + earlier).filter { !action.dependsOn.contains($0) }
            return action
        }
    }

    private static func place(_ process: ProcessLayout.Process, among processes: [ProcessLayout.Process]) -> Int {
        let replicas = processes.filter { $0.kind == process.kind }.map(\.host)
        let replica = replicas.firstIndex(of: process.host) ?? 0
        switch process.kind {
        case .supervisor: return replica
        case .api, .conductor: return processes.count + replica
        case .compute: return 2 * processes.count + min(replica, 1)
        }
    }
}

extension ProcessLayout.Process {
    package var unitPath: String { "\(ProcessLayout.Paths.units)/\(unit)" }

    /// Files of a process that another version brings.
    package var replaceable: [String] { [binaryPath, unitPath, configurationPath] }

    /// Where those are kept while the version after them has not proved itself, in the same order.
    package var kept: [String] {
        ["executable", "unit", "configuration"].map { "\(ProcessLayout.Paths.previous)/\(unit).\($0)" }
    }
}
