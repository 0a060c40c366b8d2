import CloudModel

/// Draws a topology: its cells, their servers and hosts. Pure; asks nobody how the cloud is.
package struct TopologyGraph: Sendable {
    package enum Form: String, Sendable, CaseIterable {
        /// A tree of lines for people.
        case text
        /// For Graphviz: `cellwright graph --as dot | dot -Tsvg`.
        case dot
        /// For documents that draw Mermaid.
        case mermaid
    }

    /// Hosts of a cell that are drawn one by one; more of them are drawn as one box with a count.
    package static let hostLimit = 8

    let topology: Topology
    private let hostLimit: Int

    /// - Parameter hostLimit: hosts of a cell that are drawn one by one.
    package init(_ topology: Topology, hostLimit: Int = hostLimit) {
        self.topology = topology
        self.hostLimit = hostLimit
    }

    package func drawn(as form: Form) -> String {
        switch form {
        case .text: TreeText(self).text()
        case .dot: DotText(self).text()
        case .mermaid: MermaidText(self).text()
        }
    }

    // MARK: What is drawn

    /// One box or line for one or several hosts.
    struct HostBox {
        var name: String
        var details: [String]
        var count: Int
    }

    func boxes(of cell: Topology.Cell) -> [HostBox] {
        let boxes = cell.hosts.map { HostBox(name: $0.name.text, details: Self.details(of: $0), count: 1) }
        guard boxes.count > hostLimit, let first = boxes.first, let last = boxes.last else { return boxes }
        let common = first.details.filter { detail in boxes.allSatisfy { $0.details.contains(detail) } }
        return [HostBox(name: "\(first.name) ... \(last.name)", details: common, count: boxes.count)]
    }

    /// Zone, driver, capacity and labels; what is as usual is left out.
    private static func details(of host: Topology.Host) -> [String] {
        var details: [String] = []
        if host.availabilityZone != Topology.Host.defaultAvailabilityZone {
            details.append("zone \(host.availabilityZone)")
        }
        if host.hypervisor.driver != .libvirt { details.append(host.hypervisor.driver.rawValue) }
        if let vcpus = host.capacity.vcpus { details.append("\(vcpus) vCPUs") }
        if let memory = host.capacity.memoryMiB { details.append("\(memory) MiB") }
        if let disk = host.capacity.diskGiB { details.append("\(disk) GiB disk") }
        return details + host.labels.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
    }

    static func title(of cell: Topology.Cell) -> String { cell.path.isRoot ? "/ (root)" : cell.path.description }

    func control(of cell: Topology.Cell) -> String { "control \(Self.list(cell.controlHosts))" }

    func servers(of cell: Topology.Cell) -> [String] {
        let database =
            switch cell.database {
            case .embedded(let server): "database \(server.host):\(server.port)"
            case .existing(let server): "database \(server.url)"
            }
        let broker =
            switch cell.broker {
            case .embedded(let server): "broker \(server.host):\(server.port)"
            case .existing(let server): "broker \(server.url)"
            }
        return [database, broker]
    }

    var apiLine: String { "API \(topology.publicURL) on \(Self.list(topology.api.hosts))" }

    private static func list(_ hosts: [HostName]) -> String { hosts.map(\.text).joined(separator: ", ") }
}

/// Lines with branches, as `tree` draws them.
private struct TreeText {
    private let graph: TopologyGraph

    init(_ graph: TopologyGraph) { self.graph = graph }

    func text() -> String {
        var lines = ["cloud \(graph.topology.name), region \(graph.topology.region)", graph.apiLine]
        add(graph.topology.root, prefix: "", branch: "", &lines)
        return lines.joined(separator: "\n") + "\n"
    }

    private func add(_ cell: Topology.Cell, prefix: String, branch: String, _ lines: inout [String]) {
        let facts = [graph.control(of: cell)] + graph.servers(of: cell)
        lines.append("\(prefix)\(branch)\(TopologyGraph.title(of: cell))  (\(facts.joined(separator: ", ")))")
        let below = prefix + (branch.isEmpty ? "" : branch == Self.last ? "   " : "│  ")
        let boxes = graph.boxes(of: cell)
        for (index, box) in boxes.enumerated() {
            let mark = index == boxes.count - 1 ? Self.last : Self.middle
            let count = box.count > 1 ? "\(Counted(box.count, "host")): " : ""
            let details = box.details.isEmpty ? "" : "  (\(box.details.joined(separator: ", ")))"
            lines.append("\(below)\(mark)\(count)\(box.name)\(details)")
        }
        for (index, child) in cell.children.enumerated() {
            add(child, prefix: below, branch: index == cell.children.count - 1 ? Self.last : Self.middle, &lines)
        }
    }

    private static let middle = "├─ "
    private static let last = "└─ "
}

/// Graphviz: a cluster a leaf cell, an arrow from each parent to each child.
private struct DotText {
    private let graph: TopologyGraph

    init(_ graph: TopologyGraph) { self.graph = graph }

    func text() -> String {
        var lines = [
            "digraph \(Self.quoted(graph.topology.name)) {", "  rankdir=TB;",
            "  node [shape=box, fontname=\"sans-serif\"];",
            "  api [shape=ellipse, label=\(Self.quoted(graph.apiLine))];", "  api -> \(Self.id(graph.topology.root));",
        ]
        for cell in graph.topology.cells { add(cell, &lines) }
        lines.append("}")
        return lines.joined(separator: "\n") + "\n"
    }

    private func add(_ cell: Topology.Cell, _ lines: inout [String]) {
        let label = ([TopologyGraph.title(of: cell), graph.control(of: cell)] + graph.servers(of: cell))
            .joined(separator: "\n")
        lines.append("  \(Self.id(cell)) [style=bold, label=\(Self.quoted(label))];")
        for child in cell.children { lines.append("  \(Self.id(cell)) -> \(Self.id(child));") }
        for (index, box) in graph.boxes(of: cell).enumerated() {
            let id = Self.quoted("\(cell.path.slug) host \(index)")
            let count = box.count > 1 ? ["\(Counted(box.count, "host"))"] : []
            let label = (count + [box.name] + box.details).joined(separator: "\n")
            lines.append("  \(id) [label=\(Self.quoted(label))];")
            lines.append("  \(Self.id(cell)) -> \(id) [arrowhead=none];")
        }
    }

    private static func id(_ cell: Topology.Cell) -> String { quoted("cell \(cell.path.slug)") }

    private static func quoted(_ text: String) -> String {
        let escaped = text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
        return "\"\(escaped)\""
    }
}

/// Mermaid's flowchart.
private struct MermaidText {
    private let graph: TopologyGraph

    init(_ graph: TopologyGraph) { self.graph = graph }

    func text() -> String {
        var lines = ["flowchart TD", "  api([\(Self.quoted([graph.apiLine]))]) --> c0"]
        let cells = graph.topology.cells
        let ids = Dictionary(
            cells.enumerated().map { ($0.element.path, "c\($0.offset)") }, uniquingKeysWith: { first, _ in first })
        for cell in cells {
            let id = ids[cell.path] ?? ""
            let label = [TopologyGraph.title(of: cell), graph.control(of: cell)] + graph.servers(of: cell)
            lines.append("  \(id)[\(Self.quoted(label))]")
            for child in cell.children { lines.append("  \(id) --> \(ids[child.path] ?? "")") }
            for (index, box) in graph.boxes(of: cell).enumerated() {
                let count = box.count > 1 ? ["\(Counted(box.count, "host"))"] : []
                lines.append("  \(id) --- \(id)h\(index)[\(Self.quoted(count + [box.name] + box.details))]")
            }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func quoted(_ lines: [String]) -> String {
        let escaped = lines.map {
            $0.replacing("&", with: "&amp;").replacing("\"", with: "&quot;").replacing("<", with: "&lt;")
                .replacing(">", with: "&gt;")
        }
        return "\"\(escaped.joined(separator: "<br>"))\""
    }
}
