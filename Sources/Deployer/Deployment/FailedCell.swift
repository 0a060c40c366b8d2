package import CloudModel
import Topology

/// A cell that was new to the cloud, that an apply could not make, and why.
package struct FailedCell: Sendable, Equatable, Codable {
    package var path: CellPath
    /// What failed in it, and why, in order: a sentence each.
    package var causes: [String]

    package init(path: CellPath, causes: [String]) {
        self.path = path
        self.causes = causes
    }
}

extension FailedCell {
    /// New cells that did not come to be through a fault of their own: of a process, a store or a host that serves only
    /// them. One that only waits for something outside of it, or for a host that cannot be reached, is not among them:
    /// it goes on with the next apply.
    ///
    /// - Parameter earlier: the journal of runs before this one.
    static func find(
        in report: PlanExecutor.Report, topology: Topology, survey: Deployment.Survey, earlier: [Journal.Entry]
    ) -> [FailedCell] {
        topology.cells.filter { isNew($0, survey, earlier) }.compactMap { cell in
            if report.outcomes[mapping(of: cell).description] == .succeeded { return nil }
            let own = topology.hosts(onlyOf: [cell.path])
            let causes = survey.plan.actions.filter { action in
                action.cell == cell.path || action.host.map(own.contains) == true
            }.compactMap { action -> String? in
                guard case .failed(let why) = report.outcomes[action.id], !report.unreachable.contains(action.id)
                else { return nil }
                return "\(action.host.map { "\($0): " } ?? "")\(action.what): \(why)"
            }
            return causes.isEmpty ? nil : FailedCell(path: cell.path, causes: causes)
        }
    }

    /// Whether a cell has never served: its parent does not know it, and its database was not there when this run looked
    /// or was made by a run that never came as far as its mapping. A cell whose mapping was deleted by hand is not new.
    private static func isNew(
        _ cell: Topology.Cell, _ survey: Deployment.Survey, _ earlier: [Journal.Entry]
    ) -> Bool {
        guard !cell.path.isRoot, survey.facts[mapping(of: cell)] == .absent else { return false }
        let database = database(of: cell)
        if survey.facts[database] == .absent { return true }
        func done(_ id: Resource.ID) -> Bool {
            earlier.contains { $0.step == id.description && $0.outcome == .succeeded }
        }
        // Killed between the making of a database and its line, a run has only said that it began.
        let made = earlier.contains { $0.step == database.description && $0.outcome != .failed }
        return made && !done(mapping(of: cell))
    }

    private static func mapping(of cell: Topology.Cell) -> Resource.ID {
        .init(.cellMapping, cell: cell.path, name: cell.name)
    }

    static func database(of cell: Topology.Cell) -> Resource.ID {
        .init(.database, host: cell.databaseServer.place, name: cell.path.resourceName)
    }
}
