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
                try controlConnection(),
                PostgresScript(url: existing.url, password: try password(existing.password))
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
                try controlConnection(),
                BrokerScript(url: url, user: Self.user(of: existing.url), password: try password(existing.password))
            )
        }
    }

    /// The server of ours on a host, for things that are left there of earlier.
    func databaseServer(on host: HostName?) throws -> ResourceSpecification.DatabaseServer {
        let servers = settings.topology.databaseServers
        if let server = servers.first(where: { $0.host == host }) { return server }
        guard let host else { throw SecretFailure("the topology has no existing database server any more") }
        return .embedded(.init(host: host))
    }

    func brokerServer(on host: HostName?) throws -> ResourceSpecification.BrokerServer {
        let servers = settings.topology.brokerServers
        if let server = servers.first(where: { $0.host == host }) { return server }
        guard let host else { throw SecretFailure("the topology has no existing broker any more") }
        return .embedded(.init(host: host))
    }

    private func controlConnection() throws -> any HostConnection {
        guard let host = settings.topology.root.controlHosts.first else {
            throw SecretFailure("the root cell has no control host")
        }
        return try hosts.connection(host)
    }

    private func password(_ source: Topology.PasswordSource) throws -> Secret {
        let value = try SecretStore.read(
            source, relativeTo: settings.topologyFolder, environment: settings.environment)
        guard let value else { throw SecretFailure("an existing server's password cannot be made up") }
        return value
    }

    /// `guest` when the URL names none.
    private static func user(of url: String) -> String {
        guard let at = url.firstIndex(of: "@"), let slashes = url.firstRange(of: "://") else { return "guest" }
        return String(url[slashes.upperBound..<at].prefix { $0 != ":" })
    }
}

extension Topology {
    /// Every PostgreSQL server that a cell uses, once.
    package var databaseServers: [ResourceSpecification.DatabaseServer] {
        var found: [ResourceSpecification.DatabaseServer] = []
        for cell in cells {
            let server: ResourceSpecification.DatabaseServer =
                switch cell.database {
                case .embedded(let server): .embedded(server)
                case .existing(let server): .existing(server)
                }
            if !found.contains(server) { found.append(server) }
        }
        return found
    }

    /// Every RabbitMQ server that a cell uses, once.
    package var brokerServers: [ResourceSpecification.BrokerServer] {
        var found: [ResourceSpecification.BrokerServer] = []
        for cell in cells {
            let server: ResourceSpecification.BrokerServer =
                switch cell.broker {
                case .embedded(let server): .embedded(server)
                case .existing(let server): .existing(server)
                }
            if !found.contains(server) { found.append(server) }
        }
        return found
    }
}
