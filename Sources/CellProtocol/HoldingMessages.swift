package import CloudModel
package import FoundationEssentials

/// What a host still has of servers that it does not run, and of ports that no server here names. Told once a minute while
/// there is any: its cell says what of it is dead, and only that is removed.
package struct AgentHoldings: Codable, Sendable, Equatable {
    package static let kind = "agent.holdings"
    /// The last word of the report's routing key.
    package static let route = "holdings"
    /// Servers, and ports, that are told of at once.
    package static let limit = 500

    package var host: HostName
    package var sentAt: Date
    /// Servers with a disk or a record here and without a guest.
    package var servers: [ServerID]
    /// The first ``portDigits`` hexadecimal digits of ports with a device or an address here that belong to no server here.
    package var ports: [String]

    /// Digits that name a port: more than one port in a cell with the same would be a chance of one in a million million.
    package static let portDigits = 11

    package init(host: HostName, sentAt: Date, servers: [ServerID], ports: [String]) {
        self.host = host
        self.sentAt = sentAt
        self.servers = servers
        self.ports = ports
    }

    package var isEmpty: Bool { servers.isEmpty && ports.isEmpty }
}
