import CloudModel
package import Topology

/// How a cloud is, from two sides at once: what runs on its hosts, and what the root knows of its cells.
///
/// Each side may be missing, with the reason: a status is made of what answers.
package struct CloudStatus: Codable, Sendable, Equatable {
    package struct Process: Codable, Sendable, Equatable {
        package enum State: String, Codable, Sendable {
            /// Runs and answers its health check.
            case healthy
            /// Runs and does not answer its health check, or answers that something is wrong.
            case unhealthy
            case stopped
            /// Was never started here.
            case absent
            /// Its host cannot be reached.
            case unknown
        }

        package var unit: String
        package var host: String
        package var state: State
        /// Whether it runs with the executable, settings and secrets that it should.
        package var isCurrent: Bool
    }

    package struct Cell: Codable, Sendable, Equatable {
        package var path: String
        /// Whether its parent has it in its directory; always for the root.
        package var isMapped: Bool
        /// False when it is known to be missing.
        package var database: Bool
        /// False when it is known to be missing.
        package var broker: Bool
        package var processes: [Process]
        /// What the root knows of it; nil for the root, and when the API does not answer.
        package var report: CellReport?
        /// Its compute hosts, as the root knows them.
        package var hosts: [HostReport]
        package var children: [Cell]
    }

    package struct Host: Codable, Sendable, Equatable {
        package var name: String
        package var address: String
        /// Why it cannot be reached; `nil` when it can.
        package var unreachable: String?
    }

    /// What differs from the topology.
    package struct Drift: Codable, Sendable, Equatable {
        package struct Change: Codable, Sendable, Equatable {
            package var what: String
            package var why: String
            package var host: String?
            package var cell: String?
            package var effect: String
        }

        package var changes: [Change]
        /// What could not be looked at, a sentence for each reason.
        package var unknown: [String]
    }

    package var name: String
    package var url: String
    package var root: Cell
    package var hosts: [Host]
    /// Cells that the root knows and the topology does not.
    package var strangers: [CellReport]
    /// Changes that an apply would make.
    package var pendingChanges: Int
    /// Nil when the hosts were not looked at: see ``surveyProblem``.
    package var drift: Drift?
    package var surveyProblem: String?
    /// Why the cells API did not say how the cells are.
    package var cellsProblem: String?

    package init(topology: Topology, survey: Deployment.Survey) {
        self.init(topology: topology, survey: .success(survey), cells: .failure(Missing("not asked")))
    }

    /// Why one side is missing.
    struct Missing: Error, Sendable {
        let why: String
        init(_ why: String) { self.why = why }
    }

    /// What the root knows.
    struct Tree: Sendable {
        var cells: [CellReport]
        var hosts: [HostReport]
    }

    init(topology: Topology, survey: Result<Deployment.Survey, Missing>, cells: Result<Tree, Missing>) {
        var tree = Tree(cells: [], hosts: [])
        switch cells {
        case .success(let known): tree = known
        case .failure(let missing): cellsProblem = missing.why
        }
        var look: Deployment.Survey?
        switch survey {
        case .success(let known): look = known
        case .failure(let missing): surveyProblem = missing.why
        }
        name = topology.name
        url = topology.publicURL
        let builder = CloudStatusBuilder(topology: topology, survey: look, tree: tree)
        root = builder.cell(topology.root)
        hosts = topology.hosts.map {
            Host(name: $0.name.text, address: $0.reachableAt, unreachable: look?.facts.unreachable[$0.name])
        }
        let known = Set(topology.cells.map(\.path.description))
        strangers = tree.cells.filter { !known.contains($0.path) }
        drift = look.map(CloudStatusBuilder.drift)
        pendingChanges = drift?.changes.count ?? 0
    }

    /// Whether everything runs, answers, and is as the topology says.
    package var isGood: Bool {
        surveyProblem == nil && cellsProblem == nil && pendingChanges == 0 && strangers.isEmpty
            && drift?.unknown.isEmpty == true && hosts.allSatisfy { $0.unreachable == nil } && root.isGood
    }
}

/// Puts both sides of a status together.
private struct CloudStatusBuilder {
    let topology: Topology
    let survey: Deployment.Survey?
    let tree: CloudStatus.Tree

    private let layout: ProcessLayout
    private let reports: [String: CellReport]

    init(topology: Topology, survey: Deployment.Survey?, tree: CloudStatus.Tree) {
        self.topology = topology
        self.survey = survey
        self.tree = tree
        layout = ProcessLayout(topology)
        reports = Dictionary(tree.cells.map { ($0.path, $0) }, uniquingKeysWith: { first, _ in first })
    }

    func cell(_ cell: Topology.Cell) -> CloudStatus.Cell {
        let name = cell.path.resourceName
        func has(_ kind: Resource.Kind) -> Bool {
            survey.map { survey in
                survey.facts.observations.ids.contains { id in
                    id.kind == kind && id.name == name && survey.facts.observations[id] != .absent
                }
            } ?? true
        }
        let path = cell.path.description
        let mapping = survey?.facts[.init(.cellMapping, cell: cell.path, name: cell.name)]
        return CloudStatus.Cell(
            path: path, isMapped: cell.path.isRoot || mapping?.isPresent ?? (reports[path] != nil),
            database: has(.database), broker: has(.brokerVhost),
            processes: layout.processes.filter { $0.cell == cell.path }.map(process), report: reports[path],
            hosts: tree.hosts.filter { $0.cell == path }, children: cell.children.map { self.cell($0) })
    }

    private func process(_ process: ProcessLayout.Process) -> CloudStatus.Process {
        let id = Resource.ID(.unit, host: process.host, name: process.unit)
        let wanted = survey?.desired.resources.first { $0.id == id }?.attributes ?? [:]
        var state = CloudStatus.Process.State.unknown
        var isCurrent = false
        switch survey?.facts[id] {
        case nil, .unknown: break
        case .absent: state = .absent
        case .present(let attributes):
            isCurrent = attributes["inputs"] == wanted["inputs"]
            let gate = survey?.facts[.init(.gate, host: process.host, name: process.unit)]
            if attributes["active"] != "yes" {
                state = .stopped
            } else if case .present(let answer) = gate, answer["answers"] == "yes" {
                state = .healthy
            } else {
                state = .unhealthy
            }
        }
        return CloudStatus.Process(
            unit: process.unit, host: process.host.text, state: state, isCurrent: isCurrent)
    }

    static func drift(_ survey: Deployment.Survey) -> CloudStatus.Drift {
        CloudStatus.Drift(
            changes: survey.plan.actions.map {
                .init(
                    what: $0.what, why: $0.why, host: $0.host?.text, cell: $0.cell?.description,
                    effect: $0.effect.rawValue)
            },
            unknown: survey.unseen)
    }
}

extension CloudStatus.Cell {
    var isGood: Bool {
        isMapped && database && broker && processes.allSatisfy { $0.state == .healthy && $0.isCurrent }
            && (report.map { $0.health.state == "up" && $0.hosts.up == $0.hosts.total } ?? true)
            && children.allSatisfy(\.isGood)
    }
}

extension ObservedFacts.Observation {
    var isPresent: Bool {
        switch self {
        case .present: true
        case .absent, .unknown: false
        }
    }
}
