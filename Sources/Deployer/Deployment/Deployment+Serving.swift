import CloudModel
import FoundationEssentials
import Topology

/// The end of the way of a new cell: users' servers can be placed there. Whoever boots a server right after an apply finds
/// its zone.
extension Deployment {
    /// How long the root may take to hear of a new cell's hosts.
    static let servingLimit = Duration.seconds(30)

    /// Waits until the root knows a living host of each leaf cell that was mapped just now. One that takes longer is told
    /// and is no failure: all that an apply can do is done.
    func awaitServing(_ report: PlanExecutor.Report, _ survey: Survey) async throws {
        let mapped = survey.plan.actions.filter { action in
            guard action.resource.kind == .cellMapping, action.effect == .create else { return false }
            guard case .succeeded = report.outcomes[action.id] else { return false }
            return true
        }
        let paths = mapped.compactMap(\.resource.cell).filter { path in
            settings.topology.cell(path).map { !$0.hosts.isEmpty } ?? false
        }
        guard !paths.isEmpty else { return }
        let names = paths.map(\.description).joined(separator: ", ")
        do {
            let client = try await cells()
            let serve = try await reporter.step("wait until \(names) can be scheduled to") {
                try await poll(every: .milliseconds(100), for: Self.servingLimit) {
                    for path in paths {
                        let hosts = try await client.hosts(of: path)
                        guard hosts.contains(where: { $0.state == "up" }) else { return false }
                    }
                    return true
                }
            }
            if !serve { tell("not every one of \(names) has a host that the root knows yet") }
        } catch let failure as CellsFailure {
            tell("whether \(names) can be scheduled to is not known: \(failure)")
        }
    }

    private func tell(_ what: String) {
        reporter.report(
            ProgressEvent(.note, what, detail: "`cellwright status` and `cellwright doctor` say more"))
    }
}
