import CloudModel
package import Primitives
package import Topology

/// Carries out the actions of a plan, as many at a time as the limits allow, each noted in the journal before and after.
package struct PlanExecutor: Sendable {
    package struct Report: Sendable, Equatable {
        package var outcomes: [String: ActionGraph.Outcome]
        /// Ids of actions that were not begun because a stop was asked for.
        package var notBegun: [String]
        /// Ids of actions that failed because their host could not be reached.
        package var unreachable: Set<String> = []

        /// Actions of passes before this one, all of which succeeded.
        package var earlier = 0

        package var succeeded: Int { earlier + outcomes.values.count { $0 == .succeeded } }
        package var isComplete: Bool { notBegun.isEmpty && succeeded == earlier + outcomes.count }
    }

    private let journal: Journal
    private let run: String
    private let reporter: any ProgressReporter
    private let wallClock: any WallClock
    private let limits: ActionGraph.Limits
    private let stop: StopRequest
    private let faults: FaultPoints

    /// - Parameter run: names this run of the tool in the journal.
    package init(
        journal: Journal, run: String, reporter: any ProgressReporter, wallClock: any WallClock, stop: StopRequest,
        limits: ActionGraph.Limits = ActionGraph.Limits(), faults: FaultPoints = .none
    ) {
        self.journal = journal
        self.run = run
        self.reporter = reporter
        self.wallClock = wallClock
        self.stop = stop
        self.limits = limits
        self.faults = faults
    }

    private struct Ending: Sendable {
        let id: String
        let outcome: ActionGraph.Outcome
        var isUnreachable = false
    }

    /// Runs every action once what it depends on has succeeded. Throws only when the journal cannot be written.
    package func execute(
        _ actions: [PlanAction], perform: @escaping @Sendable (PlanAction) async throws -> Void
    ) async throws -> Report {
        var graph = ActionGraph(actions, limits: limits)
        announce(actions)
        var unreachable: Set<String> = []
        try await withThrowingTaskGroup(of: Ending.self) { group in
            while !graph.isFinished {
                if !stop.isRequested, !Task.isCancelled {
                    for action in graph.start() {
                        group.addTask { try await carryOut(action, perform) }
                    }
                }
                guard let ending = try await group.next() else { break }
                if ending.isUnreachable { unreachable.insert(ending.id) }
                graph.finish(ending.id, ending.outcome)
            }
        }
        for action in actions {
            if case .leftOut(let blocker) = graph.outcomes[action.id] {
                report(.skipped, action, detail: "because \(blocker) did not succeed")
            }
        }
        return Report(outcomes: graph.outcomes, notBegun: graph.remaining.map(\.id), unreachable: unreachable)
    }

    private func carryOut(
        _ action: PlanAction, _ perform: @Sendable (PlanAction) async throws -> Void
    ) async throws -> Ending {
        try note(action, .started)
        try faults.pass(.begun)
        reporter.report(
            ProgressEvent(.begun, action.what, host: action.host?.text, cell: action.cell?.description))
        do {
            try await reporter.step(action.what, host: action.host?.text, cell: action.cell?.description) {
                try await perform(action)
            }
        } catch {
            let why = ErrorChain(error).description
            try note(action, .failed, why)
            try faults.pass(.noted)
            return Ending(id: action.id, outcome: .failed(why), isUnreachable: Self.isUnreachable(error))
        }
        try faults.pass(.done)
        try note(action, .succeeded)
        try faults.pass(.noted)
        return Ending(id: action.id, outcome: .succeeded)
    }

    private static func isUnreachable(_ error: any Error) -> Bool {
        guard let failure = error as? HostFailure, case .unreachable = failure.reason else { return false }
        return true
    }

    /// How many steps each cell has, and each host beside them.
    private func announce(_ actions: [PlanAction]) {
        struct Place: Hashable {
            let host: String?
            let cell: String?
        }
        let places = actions.map { action in
            Place(host: action.cell == nil ? action.host?.text : nil, cell: action.cell?.description)
        }
        let counts = Dictionary(grouping: places) { $0 }.mapValues(\.count)
        for (place, count) in counts.sorted(by: {
            ($0.key.cell ?? "", $0.key.host ?? "") < ($1.key.cell ?? "", $1.key.host ?? "")
        }) {
            reporter.report(ProgressEvent(.planned, "\(count) steps", host: place.host, cell: place.cell, count: count))
        }
    }

    private func note(_ action: PlanAction, _ outcome: Journal.Entry.Outcome, _ detail: String? = nil) throws {
        try journal.append(
            .init(
                time: wallClock.now(), run: run, step: action.id, what: action.what, outcome: outcome, detail: detail))
    }

    private func report(_ kind: ProgressEvent.Kind, _ action: PlanAction, detail: String) {
        reporter.report(
            ProgressEvent(
                kind, action.what, host: action.host?.text, cell: action.cell?.description, detail: detail))
    }
}
