import CloudModel

/// Finds embedded servers that contradict each other: a host has one PostgreSQL and one RabbitMQ, each with its ports.
struct EmbeddedServers {
    enum Server {
        case database(Topology.EmbeddedDatabase)
        case broker(Topology.EmbeddedBroker)
    }

    private(set) var problems: [TopologyProblem] = []
    private var databases: [HostName: (server: Topology.EmbeddedDatabase, line: Int)] = [:]
    private var brokers: [HostName: (server: Topology.EmbeddedBroker, line: Int)] = [:]

    mutating func add(_ server: Server, at position: DocumentNode.Position) {
        switch server {
        case .database(let server):
            if let other = databases[server.host], other.server != server {
                report(position, "PostgreSQL", server.host, other.line)
            }
            databases[server.host] = databases[server.host] ?? (server, position.line)
        case .broker(let server):
            if let other = brokers[server.host], other.server != server {
                report(position, "RabbitMQ", server.host, other.line)
            }
            brokers[server.host] = brokers[server.host] ?? (server, position.line)
        }
    }

    /// `existing` excludes every other key.
    mutating func checkAlone(_ node: DocumentNode, kind: String) {
        for member in node.members
        where member.key != TopologyKey.existing.rawValue && TopologyKey(rawValue: member.key) != nil {
            problems.append(
                TopologyProblem(
                    line: member.keyPosition.line, column: member.keyPosition.column, rule: .conflict,
                    message: "an existing \(kind) has no \"\(member.key)\" here; its URL says where it is"))
        }
    }

    private mutating func report(_ position: DocumentNode.Position, _ name: String, _ host: HostName, _ line: Int) {
        problems.append(
            TopologyProblem(
                line: position.line, column: position.column, rule: .conflict,
                message: "\(name) on host \"\(host)\" has other ports in line \(line)"))
    }
}
