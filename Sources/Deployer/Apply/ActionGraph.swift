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
        /// Short actions in flight at once on one host. They go together and count as one.
        package var shortPerHost: Int

        package init(total: Int = 16, perHost: Int = 4, shortPerHost: Int = 32) {
            precondition(total > 0 && perHost > 0 && shortPerHost > 0, "limits are over 0")
            self.total = total
            self.perHost = perHost
            self.shortPerHost = shortPerHost
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
        var loads: [HostName?: Load] = [:]
        for action in running.values { loads[action.host, default: Load()].add(action) }
        var total = loads.values.reduce(0) { $0 + $1.count }
        var kept: [PlanAction] = []
        for action in waiting {
            var load = loads[action.host] ?? Load()
            let fits =
                load.isJoined(by: action)
                ? load.short < limits.shortPerHost : total < limits.total && load.count < limits.perHost
            guard fits, isReady(action) else {
                kept.append(action)
                continue
            }
            total -= load.count
            load.add(action)
            total += load.count
            loads[action.host] = load
            running[action.id] = action
            started.append(action)
        }
        precondition(
            !(started.isEmpty && running.isEmpty && !kept.isEmpty),
            "the actions of a plan wait for each other in a circle")
        waiting = kept
        return started
    }

    /// What is in flight on a host.
    private struct Load {
        private var long = 0
        private(set) var short = 0

        var count: Int { long + (short > 0 ? 1 : 0) }

        /// Whether the action goes together with others.
        func isJoined(by action: PlanAction) -> Bool { action.isShort && short > 0 }

        mutating func add(_ action: PlanAction) {
            if action.isShort { short += 1 } else { long += 1 }
        }
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

extension PlanAction {
    /// Whether it takes no time to speak of, once it is on its host.
    var isShort: Bool {
        switch specification {
        case .account, .directory, .brokerUser, .brokerPermissions: true
        case .file(let file):
            switch file.content {
            case .text, .secret: true
            case .binary: false
            }
        case .packages, .unit, .databaseRole, .database, .brokerVhost, .brokerAdministrator, .schema, .gate,
            .cellMapping,
            .hostQueue, .project, .user, .flavor, .network, .image, nil:
            false
        }
    }
}
