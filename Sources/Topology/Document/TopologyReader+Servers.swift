import CloudModel

/// Databases, brokers and services: embedded or existing.
extension TopologyReader {
    /// `inherited` is the parent's when this cell has no control host of its own.
    mutating func readDatabase(
        _ node: DocumentNode?, control: HostName, inherited: Topology.Database?, _ claims: RoleClaims
    ) -> Topology.Database {
        let assigned = assignedServer(.database, node, claims)
        if node == nil, assigned == nil { return inherited ?? .embedded(.init(host: control)) }
        if let node, let existing = node[.existing] {
            servers.checkAlone(node, kind: "database")
            refuseClaims(claims, .database)
            return .existing(readExisting(existing))
        }
        let server = Topology.EmbeddedDatabase(
            host: assigned ?? control,
            port: node?[.port]?.integer ?? Topology.EmbeddedDatabase.defaultPort)
        servers.add(
            .database(server), at: node?.position ?? claims[.database].first?.position ?? .init(line: 1, column: 1))
        return .embedded(server)
    }

    mutating func readBroker(
        _ node: DocumentNode?, control: HostName, inherited: Topology.Broker?, _ claims: RoleClaims
    ) -> Topology.Broker {
        let assigned = assignedServer(.broker, node, claims)
        if node == nil, assigned == nil { return inherited ?? .embedded(.init(host: control)) }
        if let node, let existing = node[.existing] {
            servers.checkAlone(node, kind: "broker")
            refuseClaims(claims, .broker)
            return .existing(readExisting(existing))
        }
        let server = Topology.EmbeddedBroker(
            host: assigned ?? control,
            port: node?[.port]?.integer ?? Topology.EmbeddedBroker.defaultPort,
            managementPort: node?[.managementPort]?.integer ?? Topology.EmbeddedBroker.defaultManagementPort)
        servers.add(.broker(server), at: node?.position ?? claims[.broker].first?.position ?? .init(line: 1, column: 1))
        return .embedded(server)
    }

    private mutating func refuseClaims(_ claims: RoleClaims, _ role: RoleClaims.Role) {
        for claim in claims[role] {
            report(
                claim.position, .conflict,
                "host \"\(claim.host)\" has the role \(role.rawValue), but an existing one is used")
        }
    }

    private mutating func readExisting(_ node: DocumentNode) -> Topology.ExistingServer {
        let password = PasswordReader.read(node, needed: true, problems: &problems)
        let server = Topology.ExistingServer(
            url: node[.url]?.text ?? "", managementURL: node[.managementURL]?.text, password: password,
            tls: node[.tls]?.choice() ?? .auto, caFile: node[.caFile]?.text)
        if let tls = node[.tls], server.tls == .off, URLParts(server.url).scheme == "amqps" {
            report(tls.position, .conflict, "an amqps URL is reached over TLS")
        }
        return server
    }

    mutating func readServices(_ node: DocumentNode?) -> Topology.Services {
        Topology.Services(
            identity: readService(node?[.identity], "identity"), image: readService(node?[.image], "image"),
            network: readService(node?[.network], "network"))
    }

    private mutating func readService(_ node: DocumentNode?, _ name: String) -> Topology.Service {
        guard let node, node.kind == .mapping else { return .embedded }
        report(
            node.position, .notSupported,
            "an existing \(name) service is not supported yet: this version has no client for one; leave it out")
        let password = PasswordReader.read(node, needed: true, problems: &problems)
        return .existing(.init(url: node[.url]?.text ?? "", user: node[.user]?.text ?? "", password: password))
    }
}
