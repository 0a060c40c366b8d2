import CloudModel

/// What the hosts of one list say they are for (`roles`), before anything is assigned to them.
struct RoleClaims {
    enum Role: String, CaseIterable {
        case api, control, database, broker, compute
    }

    struct Claim {
        let host: HostName
        let position: DocumentNode.Position
    }

    private var claims: [Role: [Claim]] = [:]

    /// - Parameter list: entries of hosts; texts and entries with mistakes claim nothing.
    init(_ list: DocumentNode?) {
        for item in list?.items ?? [] {
            guard let roles = item[.roles], let pattern = item[.name]?.text, TextFormat.hostPattern.accepts(pattern),
                let names = try? HostRange.expand(pattern)  // the shape reports what is wrong with it
            else { continue }
            for node in roles.items {
                guard let role: Role = node.choice() else { continue }
                claims[role, default: []] += names.map { Claim(host: HostName($0), position: node.position) }
            }
        }
    }

    subscript(role: Role) -> [Claim] { claims[role] ?? [] }

    func hosts(_ role: Role) -> [HostName] { self[role].map(\.host) }

    static func + (left: RoleClaims, right: RoleClaims) -> RoleClaims {
        var both = left
        both.claims.merge(right.claims, uniquingKeysWith: +)
        return both
    }

    /// Claims of everything in the topology, the machines first.
    static func all(in topology: DocumentNode) -> RoleClaims {
        var claims = RoleClaims(topology[.hosts])
        var waiting = Array((topology[.cells]?.items ?? []).reversed())
        while let cell = waiting.popLast() {
            claims = claims + RoleClaims(cell[.hosts])
            waiting += (cell[.cells]?.items ?? []).reversed()
        }
        return claims
    }
}

extension TopologyReader {
    /// The hosts that `key` names, else those that claim `role`. A claim beside a key that does not name it is a mistake.
    mutating func assigned(_ role: RoleClaims.Role, _ node: DocumentNode?, key: String, _ claims: RoleClaims)
        -> [HostName]
    {
        guard let node else { return claims.hosts(role) }
        let named = readReferences(node)
        for claim in claims[role] where !named.contains(claim.host) {
            report(
                claim.position, .conflict,
                "host \"\(claim.host)\" has the role \(role.rawValue), but \"\(key)\" in line \(node.position.line) does "
                    + "not name it")
        }
        return named
    }

    /// The one host for a server: the one that `node` names, else the one that claims `role`.
    mutating func assignedServer(_ role: RoleClaims.Role, _ node: DocumentNode?, _ claims: RoleClaims) -> HostName? {
        let hosts = assigned(role, node?[.host], key: "host", claims)
        if node?[.host] == nil, hosts.count > 1, let second = claims[role].dropFirst().first {
            report(
                second.position, .conflict,
                "\(hosts.count) hosts have the role \(role.rawValue), of which there is one here; the first is "
                    + "\"\(hosts[0])\"")
        }
        return hosts.first
    }

    /// Claims that can never be met where they stand.
    mutating func checkClaims(_ list: DocumentNode?, areMachines: Bool) {
        for item in list?.items ?? [] {
            guard let roles = item[.roles], roles.kind == .sequence else { continue }
            let compute = roles.items.first { $0.text == RoleClaims.Role.compute.rawValue }
            if areMachines, let compute {
                report(compute.position, .conflict, "a host with the role compute must be listed in its cell")
            } else if !areMachines, compute == nil {
                report(
                    roles.position, .conflict,
                    "a host of a cell has the role compute; list others under the topology's hosts")
            }
        }
    }
}
