package import CloudModel

/// A plan as a person reads it: actions by place in the order of the plan, then how far they reach.
package struct PlanText: Sendable {
    private let plan: Plan
    private let cloud: String

    package init(_ plan: Plan, cloud: String) {
        self.plan = plan
        self.cloud = cloud
    }

    package var text: String {
        if plan.isEmpty, plan.unknown.isEmpty { return "No change: cloud \(cloud) is as the topology says.\n" }
        var lines: [String] = []
        var place: String?
        for action in plan.actions {
            let own = Self.place(of: action)
            if own != place {
                lines.append(own)
                place = own
            }
            lines.append("  \(Self.symbol(action.effect)) \(action.what)  (\(action.why))")
        }
        if !plan.unknown.isEmpty {
            lines.append("not looked at")
            lines += Self.unknownLines(plan.unknown)
        }
        lines.append("")
        lines.append(PlanSummary(plan).text(cloud: cloud))
        return lines.joined(separator: "\n") + "\n"
    }

    private static func place(of action: PlanAction) -> String {
        switch (action.host, action.cell) {
        case (let host?, let cell?): "\(host), cell \(cell)"
        case (let host?, nil): host.text
        case (nil, let cell?): "cell \(cell)"
        case (nil, nil): "the cloud"
        }
    }

    private static func symbol(_ effect: PlanEffect) -> String {
        switch effect {
        case .none: " ."
        case .create: " +"
        case .reload: " ~"
        case .restart: " !"
        case .replace: "-+"
        case .destroy: " -"
        }
    }

    /// One line a reason and host, not one a resource.
    private static func unknownLines(_ unknown: [Plan.Unknown]) -> [String] {
        var counts: [String: Int] = [:]
        var order: [String] = []
        for item in unknown {
            let key = "  ? \(item.resource.host?.text ?? item.resource.description): \(item.reason)"
            if counts[key] == nil { order.append(key) }
            counts[key, default: 0] += 1
        }
        return order.map { "\($0) (\(counts[$0] ?? 0) not looked at)" }
    }
}

/// How far a plan reaches.
package struct PlanSummary: Sendable, Equatable, Codable {
    package var actions: Int
    /// Actions by effect, as ``PlanEffect`` spells them; effects without actions are left out.
    package var effects: [String: Int]
    package var hosts: [HostName]
    package var cells: [CellPath]
    /// Units that end and start.
    package var restarts: [String]

    package init(_ plan: Plan) {
        actions = plan.actions.count
        effects = Dictionary(grouping: plan.actions, by: \.effect.rawValue).mapValues(\.count)
        hosts = Set(plan.actions.compactMap(\.host)).sorted()
        cells = Set(plan.actions.compactMap(\.cell)).sorted()
        restarts = plan.actions.filter { $0.effect == .restart }.map {
            "\($0.resource.name)\($0.host.map { " on \($0)" } ?? "")"
        }
    }

    func text(cloud: String) -> String {
        let parts = PlanEffect.allCases.compactMap { effect in effects[effect.rawValue].map { "\($0) \(effect.label)" }
        }
        var lines = [
            "Cloud \(cloud): \(actions) \(actions == 1 ? "action" : "actions") (\(parts.joined(separator: ", "))) on "
                + "\(hosts.count) \(hosts.count == 1 ? "host" : "hosts"), "
                + "\(cells.count) \(cells.count == 1 ? "cell" : "cells") touched."
        ]
        if !restarts.isEmpty { lines.append("Restarts: \(restarts.joined(separator: ", ")).") }
        return lines.joined(separator: "\n")
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
