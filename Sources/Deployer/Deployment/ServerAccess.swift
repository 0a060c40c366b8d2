import CloudModel
import FoundationEssentials
import Primitives
package import Topology

/// Ways to be the administrator of the cloud's PostgreSQL and RabbitMQ servers, ours and others'.
struct ServerAccess: Sendable {
    let settings: DeploymentSettings
    let secrets: SecretStore
    let hosts: HostPool

    /// A connection to a host that can reach the server, and the script to ask it with.
    func database(
        _ server: ResourceSpecification.DatabaseServer
    ) throws -> (connection: any HostConnection, script: PostgresScript) {
        switch server {
        case .embedded(let embedded):
            return (try hosts.connection(embedded.host), PostgresScript(port: embedded.port))
        case .existing(let existing):
            return (
                try controlConnection { $0.databaseServer == server },
                PostgresScript(
                    existing, password: try password(existing.password), authority: try authority(of: existing),
                    mark: mark)
            )
        }
    }

    func broker(
        _ server: ResourceSpecification.BrokerServer
    ) throws -> (connection: any HostConnection, script: BrokerScript) {
        switch server {
        case .embedded(let embedded):
            return (
                try hosts.connection(embedded.host),
                BrokerScript(
                    url: "http://127.0.0.1:\(embedded.managementPort)",
                    user: ResourceSpecification.brokerAdministratorName,
                    password: try secrets.existing(.brokerAdministrator(embedded.host)) ?? Secret("none yet"))
            )
        case .existing(let existing):
            guard let url = existing.managementURL else {
                throw SecretFailure("the broker \(existing.url) has no management URL in the topology")
            }
            return (
                try controlConnection { $0.brokerServer == server },
                BrokerScript(
                    url: url, user: administrator(of: server), password: try password(existing.password),
                    authority: url.hasPrefix("https:") ? try authority(of: existing, isEncrypted: true) : .none)
            )
        }
    }

    /// Who asks a broker.
    func administrator(of server: ResourceSpecification.BrokerServer) -> String {
        switch server {
        case .embedded: ResourceSpecification.brokerAdministratorName
        case .existing(let existing): existing.user ?? "guest"
        }
    }

    /// What tells this cloud's things on servers that others use, too.
    var mark: String { Ownership.mark(cloud: settings.topology.name) }

    /// `nil` for a server of our own, where everything with a name of ours is ours.
    func ownership(host: HostName?, wanted: Set<String>) -> Ownership? {
        host == nil ? Ownership(mark: mark, wanted: wanted) : nil
    }

    /// The server at a place, for things that are left there of earlier.
    func databaseServer(at place: HostName?) throws -> ResourceSpecification.DatabaseServer {
        if let server = settings.topology.databaseServers.first(where: { $0.place == place }) { return server }
        return .embedded(.init(host: try host(place)))
    }

    func brokerServer(at place: HostName?) throws -> ResourceSpecification.BrokerServer {
        if let server = settings.topology.brokerServers.first(where: { $0.place == place }) { return server }
        return .embedded(.init(host: try host(place)))
    }

    private func host(_ place: HostName?) throws -> HostName {
        guard let place, settings.topology.host(place) != nil else {
            throw SecretFailure("the topology has no server at \(place?.text ?? "no place") any more")
        }
        return place
    }

    /// The first control host that can be reached of the cells that use an existing server: they must reach it anyhow.
    private func controlConnection(where isUser: (Topology.Cell) -> Bool) throws -> any HostConnection {
        let candidates = settings.topology.cells.filter(isUser).flatMap(\.controlHosts)
        guard let first = candidates.first else { throw SecretFailure("no cell uses the existing server") }
        return try hosts.connection(candidates.first { hosts.connections[$0] != nil } ?? first)
    }

    private func authority(
        of server: Topology.ExistingServer, isEncrypted: Bool? = nil
    ) throws -> ServerAuthority {
        guard isEncrypted ?? settings.topology.usesTLS(server) else { return .none }
        guard let file = server.caFile else { return .system }
        return .certificates(try settings.authority(file))
    }

    private func password(_ source: Topology.PasswordSource) throws -> Secret {
        let value = try SecretStore.read(
            source, relativeTo: settings.topologyFolder, environment: settings.environment)
        guard let value else { throw SecretFailure("an existing server's password cannot be made up") }
        return value
    }
}

extension Topology {
    /// Every PostgreSQL server that a cell uses, once.
    package var databaseServers: [ResourceSpecification.DatabaseServer] {
        var found: [ResourceSpecification.DatabaseServer] = []
        for cell in cells {
            if !found.contains(cell.databaseServer) { found.append(cell.databaseServer) }
        }
        return found
    }

    /// Every RabbitMQ server that a cell uses, once.
    package var brokerServers: [ResourceSpecification.BrokerServer] {
        var found: [ResourceSpecification.BrokerServer] = []
        for cell in cells {
            if !found.contains(cell.brokerServer) { found.append(cell.brokerServer) }
        }
        return found
    }
}
