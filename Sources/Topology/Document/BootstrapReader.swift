/// Reads `bootstrap` and checks its names and references.
struct BootstrapReader {
    static let administrator = "admin"

    let lab: Topology.Lab?
    private(set) var problems: [TopologyProblem] = []

    init(lab: Topology.Lab?) { self.lab = lab }

    mutating func read(_ node: DocumentNode?) -> Topology.Bootstrap {
        guard let node else { return Topology.Bootstrap() }
        for (key, noun) in [
            (TopologyKey.projects, "project"), (.users, "user"), (.flavors, "flavor"), (.images, "image"),
            (.networks, "network"),
        ] { checkNames(node[key], noun) }
        let projects = (node[.projects]?.items ?? []).map {
            Topology.Project(
                name: $0[.name]?.text ?? "", description: $0[.description]?.text ?? "", quota: Self.quota($0[.quota]))
        }
        return Topology.Bootstrap(
            projects: projects,
            users: (node[.users]?.items ?? []).map { readUser($0, projects: projects.map(\.name)) },
            flavors: (node[.flavors]?.items ?? []).map {
                Topology.Flavor(
                    name: $0[.name]?.text ?? "", vcpus: $0[.vcpus]?.integer ?? 0,
                    memoryMiB: $0[.memoryMiB]?.integer ?? 0, diskGiB: $0[.diskGiB]?.integer ?? 0)
            },
            images: (node[.images]?.items ?? []).map {
                Topology.Image(
                    name: $0[.name]?.text ?? "", file: $0[.file]?.text ?? "",
                    diskFormat: $0[.diskFormat]?.choice() ?? .qcow2)
            },
            networks: (node[.networks]?.items ?? []).compactMap { readNetwork($0) })
    }

    private static func quota(_ node: DocumentNode?) -> Topology.Quota {
        guard let node else { return Topology.Quota() }
        return Topology.Quota(
            instances: node[.instances]?.integer, vcpus: node[.vcpus]?.integer, memoryMiB: node[.memoryMiB]?.integer,
            keyPairs: node[.keyPairs]?.integer, networks: node[.networks]?.integer, ports: node[.ports]?.integer)
    }

    private mutating func readUser(_ node: DocumentNode, projects: [String]) -> Topology.User {
        let name = node[.name]?.text ?? ""
        let project = node[.project]?.text ?? ""
        let known = projects + [Self.administrator]
        if let projectNode = node[.project], projectNode.text != nil, !known.contains(project) {
            problems.append(
                TopologyProblem(
                    line: projectNode.position.line, column: projectNode.position.column, rule: .unknownReference,
                    message: "no project is called \"\(project)\"",
                    suggestion: NearestName.of(project, among: known)))
        }
        let roles = node[.roles]?.items.compactMap(\.text) ?? ["member"]
        if name == Self.administrator, project != Self.administrator || !roles.contains(Self.administrator) {
            report(node.position, .conflict, "user \"admin\" must have role admin in project admin")
        }
        return Topology.User(
            name: name, project: project, roles: roles,
            password: PasswordReader.read(node, needed: false, problems: &problems))
    }

    private mutating func readNetwork(_ node: DocumentNode) -> Topology.Network? {
        guard let cidrNode = node[.cidr], let cidr = cidrNode.text.flatMap(IPv4Network.init) else { return nil }
        if let lab, lab.network.contains(cidr.address) || cidr.contains(lab.network.address) {
            report(cidrNode.position, .conflict, "the network \(cidr) overlaps the lab's, \(lab.network)")
        }
        if let gatewayNode = node[.gateway], let gateway = gatewayNode.text.flatMap(IPv4Address.init) {
            let edges = [cidr.address, cidr.host(cidr.hostCount + 1)]
            if !cidr.contains(gateway) || edges.contains(gateway) {
                report(gatewayNode.position, .badValue, "the gateway \(gateway) is no host's address in \(cidr)")
            }
        }
        return Topology.Network(
            name: node[.name]?.text ?? "", cidr: cidr, gateway: node[.gateway]?.text ?? cidr.host(1).description,
            dns: node[.dns]?.items.compactMap(\.text) ?? [], shared: node[.shared]?.boolean ?? false)
    }

    private mutating func checkNames(_ list: DocumentNode?, _ noun: String) {
        var places: [String: Int] = [:]
        for item in list?.items ?? [] {
            guard let node = item[.name], let name = node.text else { continue }
            if let line = places[name] {
                report(
                    node.position, .duplicateName, "\(noun) \"\(name)\" is given twice; the first is in line \(line)")
            }
            places[name] = places[name] ?? node.position.line
        }
    }

    private mutating func report(
        _ position: DocumentNode.Position, _ rule: TopologyProblem.Rule, _ message: String
    ) {
        problems.append(
            TopologyProblem(line: position.line, column: position.column, rule: rule, message: message))
    }
}

/// Reads `passwordFile` and `passwordEnv`, of which a mapping may have one.
enum PasswordReader {
    static func read(
        _ node: DocumentNode, needed: Bool, problems: inout [TopologyProblem]
    ) -> Topology.PasswordSource {
        let file = node[.passwordFile]?.text
        let variable = node[.passwordEnv]?.text
        if file != nil, let second = node.members.first(where: { $0.key == TopologyKey.passwordEnv.rawValue }) {
            problems.append(
                TopologyProblem(
                    line: second.keyPosition.line, column: second.keyPosition.column, rule: .conflict,
                    message: "\"passwordFile\" and \"passwordEnv\" exclude each other"))
        }
        if needed, node.kind == .mapping, node[.passwordFile] == nil, node[.passwordEnv] == nil {
            problems.append(
                TopologyProblem(
                    line: node.position.line, column: node.position.column, rule: .missingKey,
                    message: "what exists needs the key \"passwordFile\" or \"passwordEnv\""))
        }
        if let file { return .file(file) }
        return variable.map { .environment($0) } ?? .generated
    }
}
