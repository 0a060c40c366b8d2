import CloudModel
import Topology

/// What was made of a cell that failed while it was new goes again.
extension Deployment {
    /// Undoes failed cells unless they are to be kept, and says what became of them.
    func undo(
        _ cells: [FailedCell], _ options: ApplyOptions, survey: Survey, inputs: DesiredState.Inputs, hosts: HostPool,
        stop: StopRequest
    ) async throws -> ApplyFailure.Undoing {
        if options.keepsFailed { return .kept("--keep-failed says so") }
        if stop.isRequested { return .kept("a stop was asked for before it was undone") }
        for cell in cells {
            if let why = try await reasonToKeep(cell.path, hosts: hosts) { return .kept(why) }
        }
        let names = cells.map(\.path.description).joined(separator: ", ")
        reporter.report(ProgressEvent(.stage, "undo \(names)"))
        let report = try await remove(
            Set(cells.map(\.path)), survey: survey, inputs: inputs, hosts: hosts, stop: stop)
        if report.isComplete { return .done(report.succeeded) }
        let failures = report.outcomes.compactMap { id, outcome -> String? in
            if case .failed(let why) = outcome { "\(id): \(why.lines.first ?? why)" } else { nil }
        }.sorted()
        return .failed(failures + report.notBegun.map { "\($0): not begun, because a stop was asked for" })
    }

    /// A cell in which a server was ever made is never undone, whatever the journal says of it.
    private func reasonToKeep(_ path: CellPath, hosts: HostPool) async throws -> String? {
        guard let cell = settings.topology.cell(path) else { return nil }
        for cell in [cell] + cell.descendants {
            let (connection, script) = try access(hosts).database(cell.databaseServer)
            let result = try await connection.run(
                script.countRows(of: Self.instancesTable, inDatabase: cell.path.resourceName), timeout: .seconds(30))
            guard result.status == 0 else {
                return "whether cell \(cell.path) has servers could not be found out: \(result.complaint)"
            }
            let count = result.standardOutput.trimmed
            if !["", "0"].contains(count) { return "cell \(cell.path) has \(count) servers in its database" }
        }
        return nil
    }

    private static let instancesTable = "cell.instances"

    /// Removes everything of these cells and of what is below them, and gives what they share with others the settings that
    /// it has without them. What is there is found by looking, so it may be repeated. Debian's packages stay.
    func remove(
        _ cells: Set<CellPath>, survey: Survey, inputs: DesiredState.Inputs, hosts: HostPool, stop: StopRequest
    ) async throws -> PlanExecutor.Report {
        let topology = settings.topology
        let without = DesiredState(topology.removing(cells: cells), inputs: inputs)
        let facts = try await look(hosts, desired: survey.desired.resources)
        let actions = Self.undoing(from: survey.desired, to: without, facts: facts)
        let report = try await execute(actions, hosts: hosts, stop: stop)
        try await settleServers(of: facts, on: topology.hosts(onlyOf: cells), hosts: hosts)
        return report
    }

    /// Of the plan for the smaller state, what follows from the difference of the two: nothing else is touched.
    static func undoing(from full: DesiredState, to without: DesiredState, facts: ObservedFacts) -> [PlanAction] {
        let before = Dictionary(
            full.resources.map { ($0.id, $0.attributes) }, uniquingKeysWith: { first, _ in first })
        let after = Dictionary(
            without.resources.map { ($0.id, $0.attributes) }, uniquingKeysWith: { first, _ in first })
        var ours = facts
        ours.observations = facts.observations.filter { id, _ in
            // Debian's units are not ours to stop; schemas and gates go with what they are of.
            switch id.kind {
            case .unit: after[id] != nil || id.name.hasPrefix("cellwright-")
            case .schema, .gate, .packages, .account: after[id] != nil
            default: true
            }
        }
        let plan = Plan(desired: without, observed: ours)
        let own = plan.actions.filter { action in
            guard let was = before[action.resource] else { return false }
            return after[action.resource] != was
        }
        return afterProcesses(own)
    }

    /// Stores go after every process that uses them, wherever it runs.
    private static func afterProcesses(_ actions: [PlanAction]) -> [PlanAction] {
        let stops = actions.filter { $0.specification == nil && $0.resource.kind == .unit }.map(\.id)
        let ids = Set(actions.map(\.id))
        return actions.map { action in
            var action = action
            action.dependsOn = action.dependsOn.filter(ids.contains)
            switch action.resource.kind {
            case .brokerPermissions, .brokerUser, .brokerVhost, .database, .databaseRole:
                action.dependsOn += stops.filter { !action.dependsOn.contains($0) }
            default: break
            }
            return action
        }
    }

    /// Debian's servers on hosts that nothing uses any more run with their own settings again.
    private func settleServers(of facts: ObservedFacts, on own: Set<HostName>, hosts: HostPool) async throws {
        let units = facts.observations.ids.filter { id in
            id.kind == .unit && !id.name.hasPrefix("cellwright-") && id.host.map(own.contains) == true
        }
        for unit in units.sorted(by: { $0.description < $1.description }) {
            guard let name = unit.host, let host = hosts.connections[name] else { continue }
            try await host.check(
                "restart \(unit.name)", HostScript.restart(unit.name), timeout: ActionPerformer.unitTimeout)
        }
    }
}
