import CloudModel

/// Writes what users will notice of a plan.
struct NoticeWriter {
    /// Names that a sentence lists before it only counts.
    private static let listed = 4

    private let disturbances: Disturbances
    private let losses: [DataLoss]
    private let actions: [PlanAction]

    init(_ disturbances: Disturbances, losses: [DataLoss], actions: [PlanAction]) {
        self.disturbances = disturbances
        self.losses = losses
        self.actions = actions
    }

    func notices() -> [String] {
        losses.map { "Data is lost: \($0.subject)." } + lastingNotices() + momentaryNotices() + growthNotices()
    }

    /// What ends for good or changes its identity.
    private func lastingNotices() -> [String] {
        var notices: [String] = []
        let unmapped = removed(.cellMapping).compactMap(\.cell)
        if !unmapped.isEmpty {
            notices.append("\(Self.cells(unmapped)) \(unmapped.count == 1 ? "takes" : "take") no more servers.")
        }
        let queues = removed(.hostQueue).filter { queue in queue.cell.map { !unmapped.contains($0) } ?? true }
        if !queues.isEmpty {
            let names = Self.list(queues.map(\.resource.name).sorted())
            notices.append(
                "\(queues.count == 1 ? "Host" : "Hosts") \(names) take\(queues.count == 1 ? "s" : "") no more servers.")
        }
        if !disturbances.stoppedAPIHosts.isEmpty {
            notices.append(
                "The API answers no more on \(Self.list(disturbances.stoppedAPIHosts.map(\.text).sorted())).")
        }
        for action in actions where action.effect == .replace {
            switch action.resource.kind {
            case .flavor, .image:
                notices.append(
                    "\(action.resource.kind == .flavor ? "Flavor" : "Image") \(action.resource.name) gets another id; "
                        + "servers that exist keep what they have.")
            default: continue
            }
        }
        return notices
    }

    private func momentaryNotices() -> [String] {
        var notices: [String] = []
        if !disturbances.apiHosts.isEmpty {
            let hosts = Self.list(disturbances.apiHosts.map(\.text).sorted())
            notices.append("API requests fail for some seconds while the API restarts on \(hosts).")
        }
        for server in disturbances.servers {
            let users = server.cells.isEmpty ? "" : " of \(Self.cells(server.cells, isSentence: false))"
            notices.append(
                "Requests\(users) wait or fail for some seconds while \(server.name) restarts on \(server.host).")
        }
        if disturbances.supervised.contains(.root) {
            notices.append("New servers wait for some seconds while the root's supervisor restarts.")
        }
        let changing = disturbances.conducted.union(disturbances.supervised).subtracting([.root])
            .subtracting(losses.map(\.cell))
        let stopping = Set(removed(.cellMapping).compactMap(\.cell))
        let cells = changing.subtracting(stopping)
        if !cells.isEmpty {
            notices.append(
                "Changes to servers of \(Self.cells(cells.sorted(), isSentence: false)) wait for some seconds while "
                    + "\(cells.count == 1 ? "its" : "their") processes restart; the servers run on.")
        }
        let hosts = disturbances.hosts.filter { !stopping.contains($0.value) && !isGoing($0.key) }.keys.sorted()
        if !hosts.isEmpty {
            notices.append(
                "Changes to servers on \(hosts.count == 1 ? "host" : "hosts") \(Self.list(hosts.map(\.text))) wait for "
                    + "some seconds while \(hosts.count == 1 ? "its agent restarts" : "their agents restart"); the servers "
                    + "run on.")
        }
        return notices
    }

    private func growthNotices() -> [String] {
        let agents = actions.filter {
            $0.resource.kind == .hostQueue && $0.effect == .create && $0.specification != nil
        }
        let byCell = Dictionary(grouping: agents, by: \.cell)
        guard !byCell.isEmpty else { return [] }
        let cells = byCell.keys.compactMap { $0 }.sorted()
        return [
            "New servers may land on \(Counted(agents.count, "more host")) in \(Self.cells(cells, isSentence: false))."
        ]
    }

    private func removed(_ kind: Resource.Kind) -> [PlanAction] {
        actions.filter { $0.resource.kind == kind && $0.effect == .destroy }
    }

    private func isGoing(_ host: HostName) -> Bool {
        removed(.hostQueue).contains { $0.resource.name == host.text }
    }

    private static func cells(_ paths: [CellPath], isSentence: Bool = true) -> String {
        let noun = paths.count == 1 ? "cell" : "cells"
        return (isSentence ? noun.capitalizedFirst : noun) + " " + list(paths.sorted().map(\.description))
    }

    private static func list(_ names: [String]) -> String {
        guard names.count > listed + 1 else { return names.joined(separator: ", ") }
        return names.prefix(listed).joined(separator: ", ") + " and \(names.count - listed) more"
    }
}

extension String {
    fileprivate var capitalizedFirst: String { prefix(1).uppercased() + dropFirst() }
}
