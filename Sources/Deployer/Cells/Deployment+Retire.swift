package import CloudModel
import FoundationEssentials
import Primitives
package import Topology

/// The end of one cell: first the root forgets it, which it does only when the cell has no servers; then everything of it
/// goes. What is there is found by looking, so a retirement that was cut off goes on when it is asked for again.
extension Deployment {
    package struct Retirement: Codable, Sendable, Equatable {
        package var cell: String
        /// Things that were removed or changed.
        package var changes: Int
        /// Hosts that nothing uses any more.
        package var freeHosts: [String]
    }

    /// - Throws: ``CellsFailure/refused`` while servers remain, ``RetirementFailure`` when something is left.
    package func retire(_ path: CellPath, stop: StopRequest) async throws -> Retirement {
        let lock = try ExclusiveLock(
            path: settings.lockPath, command: "cellwright cell retire \(path)", now: wallClock.now())
        let result = try await retire(path, lock, stop: stop)
        return result
    }

    /// The same with other settings.
    package func with(_ settings: DeploymentSettings) -> Deployment {
        Deployment(settings, reporter: reporter, wallClock: wallClock, ids: ids)
    }

    private func retire(
        _ path: CellPath, _ lock: borrowing ExclusiveLock, stop: StopRequest
    ) async throws -> Retirement {
        guard let cell = settings.topology.cell(path), !path.isRoot else {
            throw CellsFailure.refused("\(path) is no cell that can be retired")
        }
        guard cell.children.isEmpty else {
            let children = cell.children.map(\.path.description).joined(separator: ", ")
            throw CellsFailure.refused("\(path) has cells below it: retire \(children) first")
        }
        let client = try await cells()
        return try await withHosts { hosts in
            let wasMapped: Bool = try await reporter.step("have the root forget \(path)", cell: path.description) {
                do {
                    return try await client.forget(path)
                } catch CellsFailure.refused(let why) {
                    throw CellsFailure.refused(
                        "\(why) Have them deleted: `cellwright cell drain \(path) --wait` says when none remains")
                }
            }
            let inputs = try await inputs(creating: false)
            let survey = try await survey(hosts, inputs: inputs)
            if !wasMapped { try Self.refuseServers(in: path, survey.facts) }
            reporter.report(ProgressEvent(.stage, "remove \(path)"))
            let report = try await remove([path], survey: survey, inputs: inputs, hosts: hosts, stop: stop)
            try await judge(report, path, survey: survey, inputs: inputs, hosts: hosts)
            let without = settings.topology.removing(cells: [path])
            for name in Self.secrets(of: settings.topology).subtracting(Self.secrets(of: without)) {
                try secrets.remove(name)
            }
            return Retirement(
                cell: path.description, changes: report.succeeded,
                freeHosts: settings.topology.hosts(onlyOf: [path]).map(\.text).sorted())
        }
    }

    private static func secrets(of topology: Topology) -> Set<SecretName> {
        let layout = ProcessLayout(topology)
        return Set(layout.secrets + layout.certificates.map(\.name))
    }

    /// The root does not know the cell, so it has not counted its servers: what its own database holds counts.
    static func refuseServers(in path: CellPath, _ facts: ObservedFacts) throws {
        guard let count = facts.usage[path]?.total.instances, count > 0 else { return }
        throw CellsFailure.refused(
            "cell \(path) is not mapped, and \(CellText.counted(count, "server")) in its database: map it again with "
                + "`cellwright apply` and have them deleted first")
    }

    /// Nothing of the cell may be left.
    private func judge(
        _ report: PlanExecutor.Report, _ path: CellPath, survey: Survey, inputs: DesiredState.Inputs, hosts: HostPool
    ) async throws {
        let failures = report.outcomes.compactMap { id, outcome -> String? in
            if case .failed(let why) = outcome { "\(id): \(why.lines.first ?? why)" } else { nil }
        }.sorted()
        let without = DesiredState(settings.topology.removing(cells: [path]), inputs: inputs)
        let facts = try await look(hosts, desired: survey.desired.resources)
        let left = Self.leftovers(full: survey.desired, without: without, facts: facts)
        guard failures.isEmpty, left.isEmpty else {
            throw RetirementFailure(cell: path, failures: failures, left: left.map(\.description))
        }
    }

    /// What is of the larger state only and still there, or could not be looked at.
    static func leftovers(full: DesiredState, without: DesiredState, facts: ObservedFacts) -> [Resource.ID] {
        let kept = Set(without.resources.map(\.id))
        return full.resources.filter { resource in
            let id = resource.id
            guard !kept.contains(id) else { return false }
            switch id.kind {
            case .packages, .account, .gate, .schema: return false
            // Debian's own units stay, with Debian's own settings.
            case .unit where !id.name.hasPrefix("cellwright-"): return false
            default: break
            }
            switch facts[id] {
            case .absent: return false
            // A file of Debian's that ours had taken the place of is back.
            case .present(let found) where id.kind == .file && !HostProbe.isInOurFolder(id.name):
                return found["content"] == resource.attributes["content"]
            case .present, .unknown: return true
            }
        }.map(\.id)
    }
}

/// A retirement that did not do all of it.
package struct RetirementFailure: Error, Sendable, Equatable, CustomStringConvertible {
    static let named = 10

    package let cell: CellPath
    package let failures: [String]
    /// What is still there or could not be looked at.
    package let left: [String]

    package var description: String {
        var parts = failures
        if !left.isEmpty {
            let more = left.count > Self.named ? " and \(left.count - Self.named) more" : ""
            parts.append("left: \(left.prefix(Self.named).joined(separator: ", "))\(more)")
        }
        return "the root has forgotten cell \(cell), and not all of it is gone: \(parts.joined(separator: "; ")). "
            + "Run the same command again to go on"
    }
}

// MARK: The topology of last time

extension DeploymentSettings {
    var appliedPath: String { "\(stateFolder)/applied.json" }

    /// What was applied last, completely: it knows the hosts of a cell that the topology no longer has.
    package func appliedTopology() throws -> Topology? {
        guard FileSystem.exists(appliedPath) else { return nil }
        return try JSONDecoder().decode(Topology.self, from: Data(try FileSystem.text(appliedPath).utf8))
    }
}

extension Deployment {
    /// Called when everything of a topology has been applied.
    func rememberTopology() throws { try Self.remember(settings.topology, at: settings.appliedPath) }

    static func remember(_ topology: Topology, at path: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        _ = try PrivateFile.update(String(decoding: try encoder.encode(topology), as: UTF8.self) + "\n", at: path)
    }

    /// Forgets a cell that is gone from what was applied.
    package func forgetApplied(_ path: CellPath) throws {
        guard let applied = try settings.appliedTopology() else { return }
        try Self.remember(applied.removing(cells: [path]), at: settings.appliedPath)
    }
}
