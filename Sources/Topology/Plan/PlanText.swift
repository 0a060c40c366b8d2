import CloudModel

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
            let effect = action.effect.isWorthAWord ? "\(action.effect.rawValue): " : ""
            lines.append("  \(Self.symbol(action.effect)) \(action.what)  (\(effect)\(action.why))")
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
        case (nil, nil): action.resource.kind.isOnServer ? "existing servers" : "the cloud"
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

extension PlanEffect {
    /// Whether a person must read it even past the symbol.
    fileprivate var isWorthAWord: Bool {
        switch self {
        case .reload, .restart, .replace, .destroy: true
        case .none, .create: false
        }
    }
}
