extension CloudStatus {
    /// Changes that a text names before it only counts.
    private static let namedChanges = 10

    /// The tree as lines of text.
    package func lines() -> [String] {
        var lines = ["cloud \(name) at \(url)"]
        if let cellsProblem { lines.append("the cells' own word is missing: \(cellsProblem)") }
        add(root, indent: "", to: &lines)
        for cell in strangers {
            lines.append("\(cell.path) is mapped and not in the topology (\(Self.summary(cell)))")
        }
        for host in hosts {
            if let why = host.unreachable { lines.append("host \(host.name) (\(host.address)) is unreachable: \(why)") }
        }
        return lines + driftLines
    }

    private func add(_ cell: Cell, indent: String, to lines: inout [String]) {
        var remarks = cell.report.map { [Self.summary($0)] } ?? []
        if surveyProblem == nil {
            if !cell.isMapped { remarks.append("not mapped") }
            if !cell.database { remarks.append("no database") }
            if !cell.broker { remarks.append("no virtual host") }
        }
        lines.append("\(indent)\(cell.path)" + (remarks.isEmpty ? "" : "  \(remarks.joined(separator: "; "))"))
        if surveyProblem == nil {
            for process in cell.processes {
                let isStale = !process.isCurrent && ![.absent, .unknown].contains(process.state)
                lines.append(
                    "\(indent)  \(process.unit) on \(process.host): \(process.state.rawValue)"
                        + (isStale ? ", with older settings" : ""))
            }
        }
        for host in cell.hosts {
            let order = host.placement.state == "enabled" ? "" : ", \(host.placement.state)"
            lines.append(
                "\(indent)  host \(host.name): \(host.state)\(order), \(CellText.counted(host.servers, "server")), "
                    + "vcpus \(CellText.used(host.capacity.vcpus)), memory \(CellText.memory(host.capacity.memoryMib)), "
                    + "version \(host.agentVersion)")
        }
        for child in cell.children { add(child, indent: indent + "  ", to: &lines) }
    }

    private static func summary(_ cell: CellReport) -> String {
        var parts = [cell.health.state + (cell.health.reason.map { " (\($0), since \(cell.health.since))" } ?? "")]
        if cell.placement.state != "enabled" {
            parts.append(cell.placement.state + (cell.placement.reason.map { " (\($0))" } ?? ""))
        }
        parts.append("\(cell.hosts.up)/\(cell.hosts.total) hosts up")
        parts.append(CellText.counted(cell.servers.total, "server"))
        parts.append("vcpus \(CellText.used(cell.capacity.vcpus))")
        parts.append("memory \(CellText.memory(cell.capacity.memoryMib))")
        if let version = cell.versions.supervisor { parts.append("version \(version)") }
        if cell.events.lag > 0 { parts.append("\(cell.events.lag) events behind") }
        return parts.joined(separator: ", ")
    }

    private var driftLines: [String] {
        guard let drift else { return ["the hosts were not looked at: \(surveyProblem ?? "no answer")"] }
        var lines = drift.unknown.map { "not known: \($0)" }
        guard pendingChanges > 0 else {
            let isAll = drift.unknown.isEmpty && hosts.allSatisfy { $0.unreachable == nil }
            return lines + ["everything\(isAll ? "" : " that could be looked at") is as the topology says"]
        }
        lines.append("\(CellText.counted(pendingChanges, "change")) to make: see `cellwright plan`")
        for change in drift.changes.prefix(Self.namedChanges) {
            let place = [change.host, change.cell].compactMap { $0 }.joined(separator: " ")
            lines.append("  \(place.isEmpty ? "" : place + ": ")\(change.what) (\(change.why))")
        }
        if drift.changes.count > Self.namedChanges {
            lines.append("  and \(drift.changes.count - Self.namedChanges) more")
        }
        return lines
    }
}
