package import CloudModel

/// How far a plan reaches.
package struct PlanSummary: Sendable, Equatable, Codable {
    package var actions: Int
    /// Actions by effect, as ``PlanEffect`` spells them; effects without actions are left out.
    package var effects: [String: Int]
    package var hosts: [HostName]
    package var cells: [CellPath]
    /// Units that end and start.
    package var restarts: [String]
    /// Servers behind what is disturbed, and the projects that own them: see ``BlastRadius``.
    package var servers: Int
    package var projects: Int
    /// Disturbed cells whose servers could not be counted.
    package var uncounted: [CellPath]
    /// What users will notice, the gravest first.
    package var notices: [String]
    /// Data of users that would be destroyed.
    package var losses: [DataLoss]

    package init(_ plan: Plan) {
        actions = plan.actions.count
        effects = Dictionary(grouping: plan.actions, by: \.effect.rawValue).mapValues(\.count)
        hosts = Set(plan.actions.compactMap(\.host)).sorted()
        cells = Set(plan.actions.compactMap(\.cell)).union(plan.radius.cells).sorted()
        restarts = plan.actions.filter { $0.effect == .restart }.map {
            "\($0.resource.name)\($0.host.map { " on \($0)" } ?? "")"
        }
        servers = plan.radius.servers
        projects = plan.radius.projects
        uncounted = plan.radius.uncounted
        notices = plan.radius.notices
        losses = plan.losses
    }

    func text(cloud: String) -> String {
        let parts = PlanEffect.allCases.compactMap { effect in effects[effect.rawValue].map { "\($0) \(effect.label)" }
        }
        var lines = [
            "Cloud \(cloud): \(actions) \(actions == 1 ? "action" : "actions") (\(parts.joined(separator: ", "))) on "
                + "\(hosts.count) \(hosts.count == 1 ? "host" : "hosts"), "
                + "\(cells.count) \(cells.count == 1 ? "cell" : "cells") touched."
        ]
        if !restarts.isEmpty { lines.append("Restarts: \(Self.list(restarts)).") }
        if effects.keys.contains(where: { PlanEffect(rawValue: $0)?.isDisturbing == true }) {
            lines.append(
                "Behind it: \(Counted(servers, "server")) of \(Counted(projects, "project"))"
                    + (uncounted.isEmpty
                        ? "."
                        : ", and those of cells that could not be asked: \(Self.list(uncounted.map(\.description)))."))
        }
        lines.append("Users will notice" + (notices.isEmpty ? " nothing." : ":"))
        lines += notices.map { "  \($0)" }
        if !losses.isEmpty {
            lines.append(
                "apply refuses this without " + losses.map { "--allow-data-loss \($0.cell)" }.joined(separator: " ")
                    + ".")
        }
        return lines.joined(separator: "\n")
    }

    /// Names that a line lists before it only counts.
    private static let listed = 20

    private static func list(_ names: [String]) -> String {
        guard names.count > listed + 1 else { return names.joined(separator: ", ") }
        return names.prefix(listed).joined(separator: ", ") + " and \(names.count - listed) more"
    }
}

extension PlanEffect {
    fileprivate var label: String {
        switch self {
        case .none: "without effect on what runs"
        case .create: "to create"
        case .reload: "to reload"
        case .restart: "to restart"
        case .replace: "to replace"
        case .destroy: "to destroy"
        }
    }
}
