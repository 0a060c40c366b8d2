/// Cells, hosts and servers as lines for people.
package enum CellText {
    /// Hosts that a drained cell's text names, at most.
    static let namedHosts = 20

    package static func table(_ cells: [CellReport]) -> [String] {
        guard !cells.isEmpty else { return ["There is no cell yet."] }
        var table = TextTable([
            ("CELL", .left), ("KIND", .left), ("DEPTH", .right), ("HEALTH", .left), ("PLACEMENT", .left),
            ("HOSTS UP", .right), ("SERVERS", .right), ("VCPUS", .right), ("MEMORY", .right), ("VERSION", .left),
            ("LAG", .right),
        ])
        for cell in cells {
            table.add([
                cell.path, cell.kind, String(cell.depth), cell.health.state, cell.placement.state,
                "\(cell.hosts.up)/\(cell.hosts.total)", String(cell.servers.total), used(cell.capacity.vcpus),
                memory(cell.capacity.memoryMib), cell.versions.supervisor, String(cell.events.lag),
            ])
        }
        return table.lines
    }

    package static func table(_ hosts: [HostReport]) -> [String] {
        guard !hosts.isEmpty else { return ["There is no host."] }
        var table = TextTable([
            ("HOST", .left), ("CELL", .left), ("ZONE", .left), ("STATE", .left), ("PLACEMENT", .left),
            ("SERVERS", .right), ("VCPUS", .right), ("MEMORY", .right), ("AGENT", .left),
        ])
        for host in hosts {
            table.add([
                host.name, host.cell, host.availabilityZone, host.state, host.placement.state, String(host.servers),
                used(host.capacity.vcpus), memory(host.capacity.memoryMib), host.agentVersion,
            ])
        }
        return table.lines
    }

    package static func lines(_ cell: CellReport, hosts: [HostReport]) -> [String] {
        let agents = cell.versions.agents.sorted { $0.key < $1.key }.map { "\($0.key) on \($0.value)" }
        return pairs([
            ("cell", cell.path), ("parent", cell.parent), ("kind", "\(cell.kind) at depth \(cell.depth)"),
            ("cells below", cell.cells.total == 0 ? nil : "\(cell.cells.total), \(cell.cells.down) down"),
            ("health", sentence(cell.health.state, cell.health.reason, cell.health.since)),
            ("placement", sentence(cell.placement.state, cell.placement.reason, cell.placement.since)),
            (
                "servers",
                "\(cell.servers.total) of \(cell.servers.projects) projects, \(cell.servers.building) being built, "
                    + "\(cell.servers.deleting) being deleted"
            ),
            ("hosts", "\(cell.hosts.up) of \(cell.hosts.total) up, \(cell.hosts.enabled) enabled"),
            ("conductors up", String(cell.conductors.up)),
            ("vcpus", capacity(cell.capacity.vcpus)), ("memory MiB", capacity(cell.capacity.memoryMib)),
            ("disk GiB", capacity(cell.capacity.diskGib)), ("supervisor version", cell.versions.supervisor),
            ("agent versions", agents.isEmpty ? nil : agents.joined(separator: ", ")),
            ("events", "\(cell.events.applied) applied, \(cell.events.lag) behind"),
            ("last heartbeat kept", cell.heartbeatAt),
        ]) + [""] + table(hosts)
    }

    package static func lines(_ host: HostReport) -> [String] {
        pairs([
            ("host", host.name), ("cell", host.cell), ("zone", host.availabilityZone),
            ("state", "\(host.state), last seen \(host.lastSeenAt)"),
            ("placement", sentence(host.placement.state, host.placement.reason, host.placement.since)),
            ("servers", String(host.servers)), ("address", host.address), ("hypervisor", host.hypervisorType),
            ("agent version", host.agentVersion), ("vcpus", capacity(host.capacity.vcpus)),
            ("memory MiB", capacity(host.capacity.memoryMib)), ("disk GiB", capacity(host.capacity.diskGib)),
            ("id", host.id),
        ])
    }

    package static func lines(_ server: ServerReport) -> [String] {
        var lines = pairs([
            ("server", server.id), ("name", server.name), ("project", server.projectId),
            ("status", server.taskState.map { "\(server.status), \($0)" } ?? server.status),
            ("cell", server.cell.map { path in server.cellHealth.map { "\(path) (\($0))" } ?? path }),
            ("host", server.host), ("created", server.createdAt), ("updated", server.updatedAt),
            ("deleted", server.deletedAt),
        ])
        if let request = server.buildRequest {
            lines.append("It is \(request.state == "failed" ? "without a place" : "on its way") (\(request.state)).")
            if let fault = request.fault { lines.append("  \(fault)") }
        }
        if !server.placements.isEmpty {
            lines.append("")
            var table = TextTable([
                ("ATTEMPT", .right), ("CELL", .left), ("HOST", .left), ("PLACED", .left), ("OUTCOME", .left),
            ])
            for placement in server.placements {
                table.add([
                    String(placement.attempt), placement.cell, placement.host, placement.placedAt,
                    placement.failure.map { "failed: \($0)" } ?? "stayed",
                ])
            }
            lines += table.lines
        }
        if !server.actions.isEmpty {
            lines.append("")
            var table = TextTable([("ACTION", .left), ("WHEN", .left), ("REQUEST", .left), ("MESSAGE", .left)])
            for action in server.actions {
                table.add([action.action, action.startedAt, action.requestId, action.message])
            }
            lines += table.lines
        }
        return lines
    }

    /// What an order did to a cell, and what remains there.
    package static func answer(_ cell: CellReport, hosts: [HostReport]) -> [String] {
        if cell.placement.state == "enabled" { return ["Cell \(cell.path) gets new servers again."] }
        var lines = ["Cell \(cell.path) is \(cell.placement.state): from now on it gets no new server."]
        guard cell.servers.total > 0 else {
            lines.append("No server remains there: `cellwright cell retire \(cell.path)` can remove it.")
            return lines
        }
        lines.append(
            "\(counted(cell.servers.total, "server")) of \(counted(cell.servers.projects, "project")) "
                + "\(cell.servers.total == 1 ? "remains" : "remain") there:")
        let occupied = hosts.filter { $0.servers > 0 }
        for host in occupied.prefix(namedHosts) { lines.append("  \(host.name): \(host.servers)") }
        if occupied.count > namedHosts { lines.append("  and \(occupied.count - namedHosts) hosts more") }
        lines.append(
            "They run on. `openstack server list --all-projects --host HOST` lists them; they go when they are deleted."
        )
        return lines
    }

    package static func answer(_ host: HostReport) -> [String] {
        var lines =
            host.placement.state == "enabled"
            ? ["Host \(host.name) gets new servers again."]
            : ["Host \(host.name) is \(host.placement.state): from now on it gets no new server."]
        if host.knownToCell == false {
            lines.append("Its cell \(host.cell) does not answer; schedulers obey all the same.")
        }
        if host.placement.state != "enabled" { lines.append("\(counted(host.servers, "server")) there.") }
        return lines
    }

    // MARK: Parts

    static func counted(_ count: Int, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }

    static func used(_ resource: CapacityReport.Resource) -> String { "\(resource.used)/\(resource.usable)" }

    static func memory(_ resource: CapacityReport.Resource) -> String {
        "\(gibibytes(resource.used))/\(gibibytes(resource.usable)) GiB"
    }

    private static func gibibytes(_ mebibytes: Int) -> String {
        let tenths = (mebibytes * 10 + 512) / 1024
        return "\(tenths / 10).\(tenths % 10)"
    }

    private static func capacity(_ resource: CapacityReport.Resource) -> String {
        "\(resource.used) of \(resource.usable) promised (\(resource.total) real)"
    }

    private static func sentence(_ state: String, _ reason: String?, _ since: String) -> String {
        "\(state) since \(since)" + (reason.map { ": \($0)" } ?? "")
    }

    static func pairs(_ pairs: [(String, String?)]) -> [String] {
        let width = pairs.map(\.0.count).max() ?? 0
        return pairs.compactMap { name, value in
            value.map { name + String(repeating: " ", count: width - name.count) + "  " + $0 }
        }
    }
}
