import CloudModel
package import Topology

/// Decides which action of a plan may run next. Pure: it is told what ended and how, and says what to start.
///
/// An action runs when all that it depends on, and one of its alternatives if it names any, has succeeded. When one fails, those that depend on it are left out, and
/// everything else goes on.
package struct ActionGraph: Sendable {
    package enum Outcome: Sendable, Equatable {
        case succeeded
        /// Why.
        case failed(String)
        /// Not tried, because this other action did not succeed.
        case leftOut(after: String)
    }

    package struct Limits: Sendable, Equatable {
        /// Actions in flight at once.
        package var total: Int
        /// Actions in flight at once on one host.
        package var perHost: Int

        package init(total: Int = 16, perHost: Int = 4) {
            precondition(total > 0 && perHost > 0, "limits are over 0")
            self.total = total
            self.perHost = perHost
        }
    }

    package private(set) var outcomes: [String: Outcome] = [:]
    private let limits: Limits
    private var waiting: [PlanAction]
    private var running: [String: PlanAction] = [:]
    /// Ids of all actions: a dependency on anything else is held to be fulfilled already.
    private let known: Set<String>

    package init(_ actions: [PlanAction], limits: Limits = Limits()) {
        self.limits = limits
        waiting = actions
        known = Set(actions.map(\.id))
        precondition(known.count == actions.count, "a plan names every resource once")
    }

    package var isFinished: Bool { waiting.isEmpty && running.isEmpty }
    package var runningCount: Int { running.count }

    /// Actions that have not been started.
    package var remaining: [PlanAction] { waiting }

    /// Takes the actions that may start now, in the plan's order.
    package mutating func start() -> [PlanAction] {
        leaveOut()
        var started: [PlanAction] = []
        var perHost: [String: Int] = [:]
        for action in running.values { perHost[action.host?.text ?? "", default: 0] += 1 }
        var kept: [PlanAction] = []
        for action in waiting {
            let host = action.host?.text ?? ""
            if running.count < limits.total, perHost[host, default: 0] < limits.perHost, isReady(action) {
                running[action.id] = action
                perHost[host, default: 0] += 1
                started.append(action)
            } else {
                kept.append(action)
            }
        }
        precondition(
            !(started.isEmpty && running.isEmpty && !kept.isEmpty),
            "the actions of a plan wait for each other in a circle")
        waiting = kept
        return started
    }

    /// Notes how a started action ended.
    package mutating func finish(_ id: String, _ outcome: Outcome) {
        precondition(running.removeValue(forKey: id) != nil, "only an action that was started can end")
        outcomes[id] = outcome
    }

    private func isReady(_ action: PlanAction) -> Bool {
        action.dependsOn.allSatisfy(isFulfilled)
            && (action.dependsOnAny.isEmpty || action.dependsOnAny.contains(where: isFulfilled))
    }

    private func isFulfilled(_ id: String) -> Bool { !known.contains(id) || outcomes[id] == .succeeded }

    private func isRuledOut(_ id: String) -> Bool {
        switch outcomes[id] {
        case .failed, .leftOut: true
        case .succeeded, nil: false
        }
    }

    /// What keeps an action from ever running.
    private func blocker(of action: PlanAction) -> String? {
        if let blocker = action.dependsOn.first(where: isRuledOut) { return blocker }
        guard let first = action.dependsOnAny.first, action.dependsOnAny.allSatisfy(isRuledOut) else { return nil }
        return first
    }

    /// Settles every action that can no longer run; one of those can rule out the next.
    private mutating func leaveOut() {
        var changed = true
        while changed {
            changed = false
            var kept: [PlanAction] = []
            for action in waiting {
                if let blocker = blocker(of: action) {
                    outcomes[action.id] = .leftOut(after: blocker)
                    changed = true
                } else {
                    kept.append(action)
                }
            }
            waiting = kept
        }
    }
}
