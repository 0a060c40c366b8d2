import CloudModel
package import Topology

/// How a cloud is: the tree of cells with the processes of each, as somebody looks at it.
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
        package var database: Bool
        package var broker: Bool
        package var processes: [Process]
        package var children: [Cell]
    }

    package struct Host: Codable, Sendable, Equatable {
        package var name: String
        package var address: String
        /// Why it cannot be reached; `nil` when it can.
        package var unreachable: String?
    }

    package var name: String
    package var url: String
    package var root: Cell
    package var hosts: [Host]
    /// Changes that an apply would make.
    package var pendingChanges: Int

    package init(topology: Topology, survey: Deployment.Survey) {
        let layout = ProcessLayout(topology)
        name = topology.name
        url = topology.publicURL
        root = Self.cell(topology.root, layout, survey)
        hosts = topology.hosts.map {
            Host(name: $0.name.text, address: $0.reachableAt, unreachable: survey.facts.unreachable[$0.name])
        }
        pendingChanges = survey.plan.actions.count
    }

    /// Whether everything runs, answers, and is as the topology says.
    package var isGood: Bool { pendingChanges == 0 && hosts.allSatisfy { $0.unreachable == nil } && root.isGood }

    private static func cell(_ cell: Topology.Cell, _ layout: ProcessLayout, _ survey: Deployment.Survey) -> Cell {
        let name = cell.path.resourceName
        func has(_ kind: Resource.Kind) -> Bool {
            survey.facts.observations.contains { id, observation in
                guard case .present = observation else { return false }
                return id.kind == kind && id.name == name
            }
        }
        let mapping = survey.facts[.init(.cellMapping, cell: cell.path, name: cell.name)]
        return Cell(
            path: cell.path.description, isMapped: cell.path.isRoot || mapping.isPresent, database: has(.database),
            broker: has(.brokerVhost),
            processes: layout.processes.filter { $0.cell == cell.path }.map { process($0, survey) },
            children: cell.children.map { Self.cell($0, layout, survey) })
    }

    private static func process(_ process: ProcessLayout.Process, _ survey: Deployment.Survey) -> Process {
        let id = Resource.ID(.unit, host: process.host, name: process.unit)
        let wanted = survey.desired.resources.first { $0.id == id }?.attributes ?? [:]
        var state = Process.State.unknown
        var isCurrent = false
        switch survey.facts[id] {
        case .unknown: break
        case .absent: state = .absent
        case .present(let attributes):
            isCurrent = attributes["inputs"] == wanted["inputs"]
            let gate = survey.facts[.init(.gate, host: process.host, name: process.unit)]
            if attributes["active"] != "yes" {
                state = .stopped
            } else if case .present(let answer) = gate, answer["answers"] == "yes" {
                state = .healthy
            } else {
                state = .unhealthy
            }
        }
        return Process(unit: process.unit, host: process.host.text, state: state, isCurrent: isCurrent)
    }
}

extension CloudStatus.Cell {
    var isGood: Bool {
        isMapped && database && broker && processes.allSatisfy { $0.state == .healthy && $0.isCurrent }
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

extension CloudStatus {
    /// The tree as lines of text.
    package func lines() -> [String] {
        var lines = ["cloud \(name) at \(url)"]
        add(root, indent: "", to: &lines)
        for host in hosts {
            if let why = host.unreachable { lines.append("host \(host.name) (\(host.address)) is unreachable: \(why)") }
        }
        lines.append(
            pendingChanges == 0
                ? "everything is as the topology says"
                : "\(pendingChanges) changes to make: see `cellwright plan`")
        return lines
    }

    private func add(_ cell: Cell, indent: String, to lines: inout [String]) {
        var remarks: [String] = []
        if !cell.isMapped { remarks.append("not mapped") }
        if !cell.database { remarks.append("no database") }
        if !cell.broker { remarks.append("no virtual host") }
        lines.append("\(indent)\(cell.path)" + (remarks.isEmpty ? "" : "  (\(remarks.joined(separator: ", ")))"))
        for process in cell.processes {
            let stale = process.isCurrent || process.state == .absent ? "" : ", with older settings"
            lines.append("\(indent)  \(process.unit) on \(process.host): \(process.state.rawValue)\(stale)")
        }
        for child in cell.children { add(child, indent: indent + "  ", to: &lines) }
    }
}
