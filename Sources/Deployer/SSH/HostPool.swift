package import CloudModel

/// Open connections to the hosts of a topology; those that could not be opened, with the reason.
package struct HostPool: Sendable {
    /// Connections opened at once.
    static let parallel = 8

    package let connections: [HostName: any HostConnection]
    package let unreachable: [HostName: String]

    /// For tests, which bring connections of their own.
    package init(connections: [HostName: any HostConnection], unreachable: [HostName: String] = [:]) {
        self.connections = connections
        self.unreachable = unreachable
    }

    /// Opens a connection to each host, or finds the one that an earlier run left open. A host that does not answer is
    /// noted, not thrown: others can go on.
    package static func open(_ targets: [HostName: SSHTarget]) async throws -> HostPool {
        let folder = try SocketFolder.make()
        let results = try await parallelMap(targets.sorted { $0.key < $1.key }, limit: parallel) {
            name, target -> (HostName, SSHConnection, String?) in
            let connection = SSHConnection(target: target, controlFolder: folder)
            do {
                try await connection.open()
                return (name, connection, nil)
            } catch let failure as HostFailure {
                guard case .unreachable(let why) = failure.reason else { return (name, connection, "\(failure)") }
                return (name, connection, why)
            } catch let failure as CommandFailure {
                return (name, connection, "\(failure)")
            }
        }
        return HostPool(results: results)
    }

    private init(results: [(HostName, SSHConnection, String?)]) {
        var connections: [HostName: any HostConnection] = [:]
        var unreachable: [HostName: String] = [:]
        for (name, connection, reason) in results {
            if let reason { unreachable[name] = reason } else { connections[name] = connection }
        }
        self.connections = connections
        self.unreachable = unreachable
    }

    package func connection(_ host: HostName) throws -> any HostConnection {
        if let connection = connections[host] { return connection }
        throw HostFailure(
            host: host.text, what: "connect",
            reason: .unreachable(unreachable[host] ?? "it is not in the topology"))
    }
}
